"""Evaluate a lesson: before and after, locality, replies elsewhere."""

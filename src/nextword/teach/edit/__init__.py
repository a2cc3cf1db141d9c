"""Adjust a copy of the weights until the targets are right."""

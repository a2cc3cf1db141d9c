"""Prompt to reply: which token comes next, again and again, until the end token."""

"""Commands that reply."""

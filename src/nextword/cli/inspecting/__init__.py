"""Commands that show the numbers of a forward pass."""

"""Commands that teach and undo."""

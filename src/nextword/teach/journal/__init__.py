"""The journal of a model's lessons: append, verify, undo."""

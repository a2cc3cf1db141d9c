"""Text to token ids and back: train, load, decode incrementally, chat templates."""

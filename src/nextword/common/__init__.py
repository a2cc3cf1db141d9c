"""What every package may use: nothing here knows torch or language models."""

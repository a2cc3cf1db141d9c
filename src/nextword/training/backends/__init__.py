"""How a training step is computed, and which way is the fastest on this machine."""

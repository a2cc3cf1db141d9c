"""A training run's folder and its checkpoints."""

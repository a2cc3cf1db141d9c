"""Text → better weights: training, its run's folder, its measures and its picture."""

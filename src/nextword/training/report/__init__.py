"""Report a training run: live display, log, summary, advice."""

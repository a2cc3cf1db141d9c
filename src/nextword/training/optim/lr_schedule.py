"""How large a step the optimizer takes, as a share of the learning rate."""

from nextword.config import TrainingConfig


def rate_share(step: int, steps: int, config: TrainingConfig) -> float:
    """Warm-up, stable, decay: rising from 0, staying at 1, falling to 0.

    Args:
        step: steps taken so far, 0 … steps - 1.
        steps: how many there will be.

    Returns:
        What the learning rates are multiplied by for the next step, above 0 and at most 1.
    """
    warmup = config.warmup_share * steps
    decay = config.decay_share * steps
    rising = (step + 1) / (warmup + 1)
    falling = (steps - step) / (decay + 1)
    return min(1.0, rising, falling)

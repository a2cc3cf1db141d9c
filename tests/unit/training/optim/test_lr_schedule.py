"""The learning rate's share: warm-up, stable, decay."""

import pytest

from nextword.config import TrainingConfig
from nextword.training.optim.lr_schedule import rate_share


def shares(steps: int, **settings: float) -> list[float]:
    config = TrainingConfig(steps=steps, **settings)  # type: ignore[arg-type]
    return [rate_share(step, steps, config) for step in range(steps)]


def test_it_rises_stays_and_falls() -> None:
    found = shares(10, warmup_share=0.3, decay_share=0.4)
    assert found == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1.0, 1.0, 1.0, 4 / 5, 3 / 5, 2 / 5, 1 / 5])


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 101])
@pytest.mark.parametrize(("warmup", "decay"), [(0.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.02, 0.4)])
def test_every_step_learns_and_none_more_than_all(steps: int, warmup: float, decay: float) -> None:
    found = shares(steps, warmup_share=warmup, decay_share=decay)
    assert all(0 < share <= 1 for share in found)


def test_without_warm_up_and_decay_it_is_always_1() -> None:
    assert shares(5, warmup_share=0.0, decay_share=0.0) == [1.0] * 5

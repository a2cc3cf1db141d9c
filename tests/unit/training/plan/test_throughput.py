"""Measured training steps leave no trace in what is trained afterwards."""

from pathlib import Path

import torch
from tests.unit.training.plan.requests import asked

from nextword.config import TrainingConfig
from nextword.data.prepared import Prepared
from nextword.model.decoder import Decoder
from nextword.training.plan.sizes import model_at
from nextword.training.plan.throughput import tokens_per_second


def test_measuring_the_throughput_disturbs_nothing(data: Prepared, tmp_path: Path) -> None:
    model = model_at(asked(tmp_path, steps=1), data, 1)
    training = TrainingConfig(
        steps=1, accumulate=2, batch_size=4, precision="float32", device="cpu"
    )
    samples = data.samples(seed=0, learn="everything")
    before = samples.batch(0, 3)[0]
    assert tokens_per_second(model, data, training, seconds=1.0) > 0
    assert (samples.batch(0, 3)[0] == before).all()
    first, second = Decoder(model, seed=3), Decoder(model, seed=3)
    tokens_per_second(model, data, training, seconds=1.0)
    third = Decoder(model, seed=3)
    for one, two, three in zip(
        first.parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.equal(one, two) and torch.equal(one, three)

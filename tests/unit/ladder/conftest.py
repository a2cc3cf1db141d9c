"""A ladder whose numbers are made up, so that each sentence and mark can be foreseen."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

from nextword.config import ModelConfig, TrainingConfig, config_from
from nextword.ladder.result import Climb, Ladder
from nextword.ladder.rungs import RUNGS, settings_at

SIZES = {"n_heads": 3, "n_layers": 5}
Losses = Sequence[float | None]


def climb(key: str, seed: int, loss: float | None) -> Climb:
    """One training with a loss that is made up; None: it broke off."""
    rung = next(rung for rung in RUNGS if rung.key == key)
    model, training = settings_at(rung, SIZES)
    sizes = {"vocab_size": 7, "context_length": 11, "d_model": 6}
    return Climb(
        rung=key,
        seed=seed,
        loss=loss,
        bits_per_byte=None if loss is None else loss / 2,
        top1=None if loss is None else 0.25,
        steps=130 + seed,
        tokens=1000,
        seconds=2.0,
        parameters=4321,
        broke="the loss is nan" if loss is None else None,
        sample="the <cat> & `the` *dog*" if seed == 0 else "",
        model=dataclasses.asdict(config_from(ModelConfig, model | sizes)),
        training=dataclasses.asdict(config_from(TrainingConfig, training | {"steps": 1})),
    )


@pytest.fixture
def made() -> Callable[[dict[str, Losses]], Ladder]:
    """Makes a ladder from the losses of each rung's seeds."""

    def make(losses: dict[str, Losses]) -> Ladder:
        seeds = len(next(iter(losses.values())))
        return Ladder(
            data=("a_[file].txt: plain text, 3 kB",),
            tokenizer="characters",
            vocab_size=7,
            context=11,
            batch=13,
            width=6,
            layers=5,
            heads=3,
            train_tokens=1900,
            held_out_tokens=170,
            seconds=2.0,
            seeds=seeds,
            prompt="who <is>",
            machine={"processor": "a processor", "threads": 2},
            versions={"nextword": "0", "torch": "1"},
            left_out={"bfloat16": "no units"},
            climbs=tuple(
                climb(key, seed, losses[key][seed]) for seed in range(seeds) for key in losses
            ),
        )

    return make

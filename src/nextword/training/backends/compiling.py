"""Whether a training step is compiled: it is faster then, but compiling takes its time first.

torch.compile joins the many small operations of a step into a few loops, written in C++ for a
processor and in Triton for a GPU. The first compiling on a machine takes about half a minute for
any model, whatever its size; torch keeps what it compiled, so that later runs of the same sizes
begin sooner.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.model.loss import loss_of

COMPILING_SECONDS = 40.0  # 18 to 43 were measured: docs/lab-log.md
SAVED_SHARE = 0.08  # of a step; from nothing to 17 % were measured
COMPILERS = ("c++", "g++", "clang++", "cl")

LossFunction = Callable[..., Tensor]


def settle(
    training: TrainingConfig, *, seconds: float, fast: bool = False
) -> tuple[TrainingConfig, str | None]:
    """The settings with `compile` decided, and why, for people.

    Args:
        training: the settings.
        seconds: how long training would take without.
        fast: whether steps are as fast without: rows dealt out, or blocks gone through at once.

    Raises:
        ConfigError: compile = "yes" where there is no compiler.
    """
    if training.compile == "no":
        return training, None
    if not has_compiler():
        if training.compile == "yes":
            raise ConfigError(
                "training.compile is 'yes', but there is no C++ compiler "
                f"({', '.join(COMPILERS)}) on the path; install one, or leave compile at 'auto'"
            )
        return replace(training, compile="no"), None
    saved = SAVED_SHARE * seconds
    if training.compile == "auto" and (fast or saved <= COMPILING_SECONDS):
        return replace(training, compile="no"), None
    why = (
        f"compiled: takes up to {COMPILING_SECONDS:.0f} s, "
        f"saves about {saved:,.0f} of {seconds:,.0f} s"
    )
    return replace(training, compile="yes"), why


def has_compiler() -> bool:
    """Whether torch will find a C++ compiler."""
    names = (os.environ.get("CXX", ""), *COMPILERS)
    return any(shutil.which(name) for name in names if name)


def loss_function(training: TrainingConfig) -> LossFunction:
    """`loss_of`, compiled if the settings say so."""
    if training.compile == "yes":
        return torch.compile(loss_of, dynamic=False)
    return loss_of

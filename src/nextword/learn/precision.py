"""What a decoder computes in while it learns, and how fast the machine could at best.

The weights are float32, and so is every number that is told of a model afterwards: this is about
the matrix products of training alone (docs/precision.md).
"""

import torch

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels import int16
from nextword.machine import matrix_peak
from nextword.model import whole
from nextword.model.decoder import Decoder


def goes_at_once(decoder: Decoder, training: TrainingConfig, device: torch.device) -> bool:
    """Whether a thread that works alone goes through all blocks in one call (model/whole.py)."""
    return (
        device.type == "cpu"
        and training.compile != "yes"  # asked before there is a reason to compile any C
        and whole.exists(decoder.config, decoder.compute_dtype)
    )


def takes_int16(
    decoder: Decoder, training: TrainingConfig, device: torch.device, *, at_once: bool
) -> bool:
    """Whether products are to be of whole numbers of 16 bits.

    They are where each thread goes through all blocks in one call, and where the processor
    multiplies more of them at a time than floats; asked for, they are on any processor.

    Args:
        decoder: the model, its dtype chosen.
        training: how it learns.
        device: where it will be.
        at_once: whether blocks are gone through in one call.

    Raises:
        ConfigError: they are asked for where they cannot be: on a GPU, or without a C compiler.
    """
    asked = training.precision == "int16"
    if asked and not (device.type == "cpu" and whole.has_c(decoder.compute_dtype)):
        raise ConfigError(
            "precision 'int16' needs a processor, not a GPU, a C compiler (cc, gcc or clang) and a "
            f"torch with sgemm; the device is {device}. Give 'auto', 'float32' or 'bfloat16'."
        )
    return at_once and (asked or (training.precision == "auto" and int16.is_fast()))


def peak_of(decoder: Decoder) -> float:
    """The fastest that large products run here in what it computes in, in operations/s."""
    if decoder.int16:
        return int16.peak(torch.get_num_threads())
    return matrix_peak(decoder.device, decoder.compute_dtype)

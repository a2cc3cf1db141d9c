"""What a decoder computes in while it learns, and how fast the machine could at best.

The weights are float32, and so is every number that is told of a model afterwards: this is about
the matrix products of training alone (docs/precision.md).
"""

import torch

from nextword.config import ModelConfig, TrainingConfig
from nextword.errors import ConfigError
from nextword.hardware import matrix_peak
from nextword.kernels import quantized_matmul
from nextword.kernels.quantized_matmul import LONGEST
from nextword.model import whole
from nextword.model.decoder import Decoder

SHORT = {"int16": 16, "int8": 8}  # precision → bits of the whole numbers that are multiplied


def goes_at_once(decoder: Decoder, training: TrainingConfig, device: torch.device) -> bool:
    """Whether a thread that works alone goes through all blocks in one call (model/whole.py)."""
    return (
        device.type == "cpu"
        and training.compile != "yes"  # asked before there is a reason to compile any C
        and whole.exists(decoder.config, decoder.compute_dtype)
    )


def short_bits(
    decoder: Decoder, training: TrainingConfig, device: torch.device, *, at_once: bool
) -> int:
    """Return the integer width of quantized matmuls: 16 or 8 bits, or 0 for floats.

    Args:
        decoder: the model, its dtype chosen.
        training: how it learns; its precision is not "auto".
        device: where it will be.
        at_once: whether blocks are gone through in one call.

    Raises:
        ConfigError: they are asked for where they cannot be: on a GPU, without a C compiler, or of
            8 bits in vectors that are too long.
    """
    asked = SHORT.get(training.precision, 0)
    if asked and not (device.type == "cpu" and whole.has_c(decoder.compute_dtype)):
        raise ConfigError(
            f"precision '{training.precision}' needs a CPU, not a GPU, a C compiler (cc, gcc "
            f"or clang) and a torch with sgemm; the device is {device}. Give 'auto', 'float32' or "
            "'bfloat16'."
        )
    longest = _longest_vector(decoder.config)
    if asked == 8 and longest > LONGEST:
        raise ConfigError(
            f"precision 'int8' is for vectors of up to {LONGEST:,} numbers; this model has some of "
            f"{longest:,}. Give precision 'int16' or 'auto'."
        )
    return asked if at_once else 0


def fits_8_bits(config: ModelConfig) -> bool:
    """Return True if no vector that is multiplied is too long for sums of 8-bit products."""
    return _longest_vector(config) <= LONGEST


def _longest_vector(config: ModelConfig) -> int:
    """How many numbers a matrix of the blocks multiplies at a time, or the unembedding, at most."""
    return max(config.d_model, config.ff_width, config.n_heads * config.head_width)


def peak_of(decoder: Decoder) -> float:
    """The fastest that large products run here in what it computes in, in operations/s."""
    if decoder.short_bits:
        threads, eight = torch.get_num_threads(), _share_of_8_bits(decoder)
        seconds = (1 - eight) / quantized_matmul.peak(threads, 16)
        if eight:
            seconds += eight / quantized_matmul.peak(threads, 8)
        return 1 / seconds  # of one operation
    return matrix_peak(decoder.device, decoder.compute_dtype)


def _share_of_8_bits(decoder: Decoder) -> float:
    """Of its operations: two of three with a matrix of a block, one with the unembedding."""
    if decoder.short_bits != 8:
        return 0.0
    blocks = sum(each.numel() for each in decoder.blocks.parameters())
    words = decoder.unembedding.weight.numel()
    return (2 * blocks + words) / (3 * (blocks + words))

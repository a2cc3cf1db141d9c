"""How a token's place is told to the model: added to the embedding, or turned into the query.

sinusoidal and learned positions are vectors added to the token embedding; rotary position turns
pairs of dimensions of every query and key by an angle that grows with the place.
"""

import math

import torch
from torch import Tensor

from nextword.config import ModelConfig, RotaryScaling
from nextword.errors import ContextError
from nextword.kernels.custom_backward import RotateStep, pays

Rotation = tuple[Tensor, Tensor]  # cos and sin, each [T, D] or [B, 1, T, D]


def sinusoidal(positions: Tensor, *, width: int) -> Tensor:
    """The article's position encoding (Vaswani et al. 2017, section 3.5).

    Dimension 2i is sin(p / 10000^(2i/M)), dimension 2i + 1 is cos of the same.

    Args:
        positions: [..., T] whole numbers from 0.
        width: M.

    Returns:
        [..., T, M] float32.
    """
    dimension = torch.arange(width, device=positions.device)
    rate = 10000.0 ** (-(dimension - dimension % 2).float() / width)  # [M]
    angles = positions.float().unsqueeze(-1) * rate  # [..., T, M]
    return torch.where(dimension % 2 == 0, angles.sin(), angles.cos())


def check_learned(config: ModelConfig, last: int) -> None:
    """Refuse a place that has no learned vector.

    Raises:
        ContextError: `last` (counted from 0) is outside the window.
    """
    if last >= config.context_length:
        raise ContextError(
            f"the text needs {last + 1} positions, but this model learned a vector for each of its "
            f"{config.context_length} positions and has none beyond them; shorten the text"
        )


def rotation(config: ModelConfig, positions: Tensor) -> Rotation:
    """Cos and sin of the angles by which queries and keys are turned (arXiv 2104.09864).

    Args:
        positions: [T] or [B, T] whole numbers from 0.

    Returns:
        Two tensors, float32, [T, D] or [B, 1, T, D], the second half of D repeating the first.
    """
    rates, scale = rotary_rates(config)
    angles = positions.float().unsqueeze(-1) * rates.to(positions.device)  # [(B,) T, D/2]
    if angles.dim() == 3:
        angles = angles.unsqueeze(1)  # [B, 1, T, D/2]
    angles = torch.cat((angles, angles), dim=-1)  # [..., T, D]
    return angles.cos() * scale, angles.sin() * scale


def rotate(x: Tensor, turn: Rotation) -> Tensor:
    """Turn each pair (d, d + D/2) of `x` [B, H, T, D] by its angle; same shape and dtype."""
    cos, sin = turn
    if pays(x):
        return RotateStep.apply(x, cos, sin)  # type: ignore[no-untyped-call,no-any-return]
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)  # [B, H, T, D]
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)


def rotary_rates(config: ModelConfig) -> tuple[Tensor, float]:
    """How fast each pair of dimensions turns, radians per position, and the scale of cos and sin.

    Returns:
        [D/2] float32, and 1 unless yarn asks for another scale.
    """
    width = config.head_width
    exponent = torch.arange(0, width, 2, dtype=torch.float32) / width  # [D/2]
    rates = config.rotary_base**-exponent
    scaling = config.rotary_scaling
    if scaling is None:
        return rates, 1.0
    if scaling.kind == "linear":
        return rates / scaling.factor, 1.0
    if scaling.kind == "llama3":
        return _llama3(rates, scaling), 1.0
    return _yarn(rates, scaling, base=config.rotary_base, width=width)


def _llama3(rates: Tensor, scaling: RotaryScaling) -> Tensor:
    """Slow turns are slowed by the factor, fast ones kept, those between blended."""
    turns = scaling.original_context_length * rates / (2 * math.pi)  # in the original window
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return keep * rates + (1 - keep) * rates / scaling.factor


def _yarn(
    rates: Tensor, scaling: RotaryScaling, *, base: float, width: int
) -> tuple[Tensor, float]:
    """NTK-by-parts with an attention scale (arXiv 2309.00071, sections 3.2 and 3.4)."""

    def dimension(turns: float) -> float:
        """The pair that turns `turns` times within the original window."""
        window = scaling.original_context_length
        return width * math.log(window / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(math.floor(dimension(scaling.beta_fast)), 0)
    high = min(math.ceil(dimension(scaling.beta_slow)), width - 1)
    pairs = torch.arange(width // 2, dtype=torch.float32)
    slowed = ((pairs - low) / max(high - low, 1e-3)).clamp(0, 1)  # 0: kept, 1: slowed
    scale = scaling.attention_factor
    if scale is None:
        scale = 0.1 * math.log(scaling.factor) + 1 if scaling.factor > 1 else 1.0
    return rates * (1 - slowed) + rates / scaling.factor * slowed, scale

"""Which weights a lesson may change, what that takes, and the change itself."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nextword.errors import RunError
from nextword.model.decoder import Decoder
from nextword.teach.config import ADAPTER_ABOVE, AUTO_SCOPE, Scope, TeachingConfig

FULL = 4  # bytes of a float32
Factors = tuple[Tensor, Tensor]  # left [rank, rows], right [rank, columns]


@dataclass(frozen=True)
class Change:
    """What a lesson adds to the weights; float32, on the CPU.

    Attributes:
        whole: for a parameter, the difference.
        factors: for a matrix, left [rank, rows] and right [rank, columns]; the difference is the
            sum of their outer products.
    """

    whole: dict[str, Tensor] = field(default_factory=dict)
    factors: dict[str, Factors] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it changes."""
        return (*self.whole, *self.factors)

    @property
    def n_bytes(self) -> int:
        """Its size."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors().values())

    @torch.no_grad()
    def apply(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights with the change added.

        It is worked out on the CPU, in float32, one outer product after the other, and brought to
        the weight's own dtype once: so the same change gives the same bits everywhere.

        Args:
            weights: by name, all that it changes among them.

        Returns:
            As many, those that it changes as new tensors on the CPU.
        """
        applied = dict(weights)
        for name, difference in self.whole.items():
            full = weights[name].detach().cpu().float() + difference
            applied[name] = full.to(weights[name].dtype)
        for name, (left, right) in self.factors.items():
            full = weights[name].detach().cpu().to(torch.float32, copy=True)
            for column, row in zip(left, right, strict=True):
                full += torch.outer(column, row)
            applied[name] = full.to(weights[name].dtype)
        return applied

    def tensors(self) -> dict[str, Tensor]:
        """By the names that a file has for them."""
        named = dict(self.whole)
        for name, (left, right) in self.factors.items():
            named |= {f"{name}.left": left.contiguous(), f"{name}.right": right.contiguous()}
        return named

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> "Change":
        """What `tensors` gave."""
        lefts = [name.removesuffix(".left") for name in tensors if name.endswith(".left")]
        factors = {name: (tensors[f"{name}.left"], tensors[f"{name}.right"]) for name in lefts}
        parts = {f"{name}.{side}" for name in lefts for side in ("left", "right")}
        return cls({name: item for name, item in tensors.items() if name not in parts}, factors)


def resolve(config: TeachingConfig, decoder: Decoder) -> Scope:
    """The scope that a lesson has; never "auto"."""
    if config.scope != "auto":
        return config.scope
    return "adapter" if decoder.n_parameters > ADAPTER_ABOVE else AUTO_SCOPE


def taught_names(decoder: Decoder, scope: Scope, config: TeachingConfig) -> tuple[str, ...]:
    """The parameters that a lesson may change, in the decoder's order; tied ones once.

    A model without blocks has no last layers and no matrices to adapt: there it is all of them.
    """
    named, n_layers = dict(decoder.named_parameters()), decoder.config.n_layers
    if scope == "all" or n_layers == 0:
        return tuple(named)
    if scope == "adapter":
        return tuple(
            name for name, item in named.items() if name.startswith("blocks.") and item.dim() == 2
        )
    first = max(0, n_layers - config.last_layers)
    last = tuple(f"blocks.{layer}." for layer in range(first, n_layers))
    exit = {id(item) for item in (*decoder.unembedding.parameters(), *_norm(decoder))}
    return tuple(n for n, item in named.items() if n.startswith(last) or id(item) in exit)


def _norm(decoder: Decoder) -> list[nn.Parameter]:
    return list(decoder.final_norm.parameters())


def n_taught(decoder: Decoder, scope: Scope, config: TeachingConfig) -> int:
    """How many numbers a lesson learns."""
    named = dict(decoder.named_parameters())
    taught = [named[name] for name in taught_names(decoder, scope, config)]
    if _adapts(decoder, scope):
        return sum(config.rank * sum(weight.shape) for weight in taught)
    return sum(weight.numel() for weight in taught)


def _adapts(decoder: Decoder, scope: Scope) -> bool:
    return scope == "adapter" and decoder.config.n_layers > 0


def memory_needed(
    decoder: Decoder, scope: Scope, config: TeachingConfig, *, longest: int, rows: int = 1
) -> int:
    """About how many bytes a lesson takes, besides the model itself.

    What learns, with its gradients, two moments and the change; the taught weights as they were
    and as they will be; and the activations of a step, its logits twice.

    Args:
        longest: tokens of the longest sequence.
        rows: how many corrections there are.
    """
    named = dict(decoder.named_parameters())
    taught = [named[name] for name in taught_names(decoder, scope, config)]
    copies = 2 * sum(weight.numel() * weight.element_size() for weight in taught)
    learning = 5 * FULL * n_taught(decoder, scope, config)
    tokens = longest * (rows + config.rehearsal_batch)
    settings = decoder.config
    inner = 12 * settings.d_model + 4 * settings.ff_width + 2 * settings.n_heads * longest
    return copies + learning + tokens * FULL * (settings.n_layers * inner + 2 * settings.vocab_size)


def check_memory(needed: int, *, available: int | None) -> None:
    """There is as much memory as a lesson needs.

    Args:
        available: bytes; None where it is not known, and everything passes.

    Raises:
        RunError: there is not.
    """
    if available is not None and needed > available:
        raise RunError(
            f"this lesson needs about {needed / 1e9:.1f} GB of memory and "
            f"{max(0, available) / 1e9:.1f} GB are there; of the scopes, adapter needs the least, "
            "and a shorter lesson needs less"
        )


def copy_with(decoder: Decoder, weights: Mapping[str, Tensor]) -> Decoder:
    """A decoder that shares every tensor with another one, except for those given.

    Args:
        weights: name → what stands in its place; an nn.Parameter as it is, so that it can learn.
    """
    memo: dict[int, Any] = {id(decoder.config): decoder.config}
    for name, weight in decoder.named_parameters():
        new = weights.get(name, weight.detach())
        if not isinstance(new, nn.Parameter):
            new = nn.Parameter(new.to(weight.device), requires_grad=False)
        memo[id(weight)] = new
    return copy.deepcopy(decoder, memo)


class Apprentice:
    """The copy of a decoder that learns; what is not taught is shared, and never written.

    Attributes:
        decoder: the copy.
        parameters: what learns, float32.
    """

    def __init__(self, decoder: Decoder, scope: Scope, config: TeachingConfig) -> None:
        self._names = taught_names(decoder, scope, config)
        named = dict(decoder.named_parameters())
        self._before = {name: named[name].detach() for name in self._names}
        self._factors: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        self._whole: dict[str, nn.Parameter] = {}
        if _adapts(decoder, scope):
            draws = torch.Generator().manual_seed(config.seed)
            for name, weight in self._before.items():
                self._factors[name] = _fresh(weight, config.rank, draws)
        else:
            self._whole = {name: _learning(weight) for name, weight in self._before.items()}
        self.decoder = copy_with(decoder, self._whole)
        for name, pair in self._factors.items():
            layer = self.decoder.get_submodule(name.removesuffix(".weight"))
            layer.register_forward_hook(partial(_adapted, pair))
        pairs = [item for pair in self._factors.values() for item in pair]
        self.parameters: list[nn.Parameter] = [*self._whole.values(), *pairs]

    @torch.no_grad()
    def change(self) -> Change:
        """What it has learned so far."""
        whole = {
            name: weight.cpu() - self._before[name].cpu().float()
            for name, weight in self._whole.items()
        }
        factors = {
            name: (left.detach().cpu().clone(), right.detach().cpu().clone())
            for name, (left, right) in self._factors.items()
        }
        return Change(whole, factors)


def _learning(weight: Tensor) -> nn.Parameter:
    """A copy that learns, in float32."""
    return nn.Parameter(weight.to(torch.float32, copy=True))


def _fresh(weight: Tensor, rank: int, draws: torch.Generator) -> tuple[nn.Parameter, nn.Parameter]:
    """Factors of a matrix [rows, columns] whose product is 0 as yet (LoRA, arXiv 2106.09685)."""
    rows, columns = weight.shape
    right = torch.randn(rank, columns, generator=draws) / columns**0.5
    left = torch.zeros(rank, rows)
    return nn.Parameter(left.to(weight.device)), nn.Parameter(right.to(weight.device))


def _adapted(
    pair: tuple[nn.Parameter, nn.Parameter], layer: nn.Module, given: tuple[Tensor], y: Tensor
) -> Tensor:
    """What a linear layer gives with its factors: y + (x rightᵀ) left."""
    left, right = pair
    x = given[0]
    return y + (x @ right.to(x.dtype).T) @ left.to(x.dtype)

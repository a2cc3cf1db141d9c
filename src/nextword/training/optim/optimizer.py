"""The optimizer: Muon turns the blocks' matrices, AdamW everything else.

Muon (Jordan et al. 2024) orthogonalises each matrix's momentum, so that every direction of the
matrix learns at the same speed. Embeddings, the unembedding, biases and norms are not such
matrices and stay with AdamW (arXiv 1711.05101). Only the blocks' matrices decay: a rare word's
vector would fade between the few times that it is seen (docs/lab-log.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nextword.config import ModelConfig, Precision, TrainingConfig
from nextword.errors import CheckpointError
from nextword.hardware import pick_precision
from nextword.model.decoder import Decoder
from nextword.training.backends.thread_pool import ThreadPool
from nextword.training.optim.adamw import AdamW
from nextword.training.optim.muon import Muon

EPSILON = 1e-6  # as torch clips
MOMENTUM = "momentum_buffer"  # what Muon keeps of a matrix


class Optimizer:
    """Muon and AdamW behind one face, with one schedule, saved as plain tensors.

    Args:
        decoder: whose weights they adjust.
        config: how.
        pool: the threads that adjust the weights; None: the caller alone.
        shards: into how many parts the weights are split; it decides how sums round.
        muon_precision: of the products by which Muon orthogonalizes; None: the training's.
    """

    def __init__(
        self,
        decoder: Decoder,
        config: TrainingConfig,
        pool: ThreadPool | None = None,
        *,
        shards: int = 1,
        muon_precision: Precision | None = None,
    ) -> None:
        self._parameters = dict(decoder.named_parameters())
        self._pool = pool or ThreadPool()
        dealt = _deal(_kinds(decoder, config), shards)
        dtype = pick_precision(muon_precision or config.precision, decoder.device)
        self._parts = [_Part(each, config, dtype) for each in dealt]
        self._shortened = 1.0

    @torch.no_grad()
    def clip(self, largest: float) -> float:
        """The whole gradient's length; if it is above `largest`, the next step shortens it to that.

        Every part does so in its own time: where threads meet less often they wait less.
        """
        lengths = torch.cat(self._pool.map(_Part.lengths, self._parts))
        length: float = torch.linalg.vector_norm(lengths).item()
        self._shortened = largest / (length + EPSILON) if length > largest else 1.0
        return length

    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rates."""
        factor, self._shortened = self._shortened, 1.0
        self._pool.map(lambda part: part.step(share, factor), self._parts)

    def forget_gradients(self) -> None:
        """Drop the gradients, before the next are worked out."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the optimizer remembers, as `parameter/what` → tensor."""
        remembered = self._remembered()
        return {
            f"{name}/{key}": value
            for name, parameter in self._parameters.items()
            for key, value in remembered[parameter].items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave.

        Raises:
            CheckpointError: the tensors belong to another model.
        """
        everything = self._remembered()
        for path, tensor in tensors.items():
            name, _, key = path.rpartition("/")
            if name not in self._parameters:
                raise CheckpointError(f"the checkpoint's optimizer knows {name!r}; the model not")
            remembered = everything[self._parameters[name]]
            if key not in remembered:
                raise CheckpointError(
                    f"the checkpoint remembers {key!r} of {name}, which another optimizer keeps; "
                    "go on with the optimizer that it was begun with"
                )
            remembered[key].copy_(tensor)

    def _remembered(self) -> dict[nn.Parameter, dict[str, Tensor]]:
        return {key: value for part in self._parts for key, value in part.remembered().items()}


@dataclass(frozen=True)
class _Kind:
    """How a parameter learns: its share of Muon's rate, None: by AdamW; and whether it decays."""

    muon: float | None
    decays: bool

    def work(self, parameter: nn.Parameter) -> int:
        """About how much a step has to do, in steps of AdamW on one number."""
        return parameter.numel() * (1 if self.muon is None else min(parameter.shape))


class _Part:
    """The optimizers of some of the parameters, which one thread works through."""

    def __init__(
        self, kinds: Mapping[nn.Parameter, _Kind], config: TrainingConfig, dtype: torch.dtype
    ) -> None:
        self._parameters = list(kinds)
        by_muon: dict[float, list[nn.Parameter]] = {}
        for parameter, kind in kinds.items():
            if kind.muon is not None:
                by_muon.setdefault(kind.muon, []).append(parameter)
        by_adamw = {each: kind.decays for each, kind in kinds.items() if kind.muon is None}
        self._adamw = AdamW(
            [parameter for parameter, decays in by_adamw.items() if decays],
            [parameter for parameter, decays in by_adamw.items() if not decays],
            rate=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self._muon = Muon(
            by_muon,
            rate=config.muon_learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            dtype=dtype,
        )

    @torch.no_grad()
    def lengths(self) -> Tensor:
        """[n] the length of each gradient."""
        return torch.stack(list(torch._foreach_norm(self._gradients())))

    @torch.no_grad()
    def step(self, share: float, factor: float) -> None:
        """Adjust the parameters by their gradients, each of these multiplied with `factor`."""
        if factor != 1.0:
            torch._foreach_mul_(self._gradients(), factor)
        self._adamw.step(share)
        self._muon.step(share)

    def remembered(self) -> dict[nn.Parameter, dict[str, Tensor]]:
        """What is remembered of each parameter, by name; to be changed in place."""
        momentum = {each: {MOMENTUM: tensor} for each, tensor in self._muon.momentum.items()}
        return self._adamw.state | momentum

    def _gradients(self) -> list[Tensor]:
        return [each.grad for each in self._parameters if each.grad is not None]


def _deal(kinds: Mapping[nn.Parameter, _Kind], count: int) -> list[dict[nn.Parameter, _Kind]]:
    """The parameters in parts of about as much work, and no empty one."""
    parts: list[dict[nn.Parameter, _Kind]] = [{} for _ in range(count)]
    work = [0] * count
    for parameter, kind in sorted(kinds.items(), key=lambda item: -item[1].work(item[0])):
        least = work.index(min(work))
        parts[least][parameter] = kind
        work[least] += kind.work(parameter)
    return [part for part in parts if part]


def _kinds(decoder: Decoder, config: TrainingConfig) -> dict[nn.Parameter, _Kind]:
    """How each parameter learns."""
    kinds = {}
    for name, parameter in decoder.named_parameters():
        matrix = parameter.dim() > 1 and name.startswith("blocks.")
        by_muon = matrix and config.optimizer == "muon"
        kinds[parameter] = _Kind(_share(name, decoder.config) if by_muon else None, matrix)
    return kinds


def _share(name: str, config: ModelConfig) -> float:
    """How much of Muon's rate a matrix takes.

    Where scores are not scaled, a step of queries and keys moves the scores by sqrt(d_head) times
    as much, and soon the softmax looks at one word only. A fourth root less for each of the two
    moves the scores as if they were scaled (docs/lab-log.md, the seed model).
    """
    asks = name.split(".")[-2] in ("query", "key")
    return 1.0 if config.scaled_scores or not asks else float(config.head_width**-0.25)

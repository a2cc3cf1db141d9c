"""The optimizer: Muon turns the blocks' matrices, AdamW everything else.

Muon (Jordan et al. 2024) orthogonalises each matrix's momentum, so that every direction of the
matrix learns at the same speed. Embeddings, the unembedding, biases and norms are not such
matrices and stay with AdamW (arXiv 1711.05101). Only the blocks' matrices decay: a rare word's
vector would fade between the few times that it is seen (docs/lab-log.md).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from nextword.config import ModelConfig, TrainingConfig
from nextword.errors import CheckpointError
from nextword.learn.adamw import AdamW
from nextword.learn.muon import Muon
from nextword.machine import pick_precision
from nextword.model.decoder import Decoder

EPSILON = 1e-6  # as torch clips
MOMENTUM = "momentum_buffer"  # what Muon keeps of a matrix


class Optimizer:
    """Muon and AdamW behind one face, with one schedule, saved as plain tensors."""

    def __init__(self, decoder: Decoder, config: TrainingConfig) -> None:
        self._parameters = dict(decoder.named_parameters())
        by_muon, decaying, lasting = _sorted(decoder, config)
        self._adamw = AdamW(
            decaying,
            lasting,
            rate=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self._muon = Muon(
            by_muon,
            rate=config.muon_learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            dtype=pick_precision(config.precision, decoder.device),
        )

    @torch.no_grad()
    def clip(self, largest: float) -> float:
        """Shorten the whole gradient to `largest`, if it is longer; returns its length before."""
        parameters = self._parameters.values()
        gradients = [each.grad for each in parameters if each.grad is not None]
        lengths = torch._foreach_norm(gradients)
        length: float = torch.linalg.vector_norm(torch.stack(list(lengths))).item()
        if length > largest:
            torch._foreach_mul_(gradients, largest / (length + EPSILON))
        return length

    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rates."""
        self._adamw.step(share)
        self._muon.step(share)

    def forget_gradients(self) -> None:
        """Drop the gradients, before the next are worked out."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the optimizer remembers, as `parameter/what` → tensor."""
        tensors = {}
        for name, parameter in self._parameters.items():
            for key, value in self._adamw.state.get(parameter, {}).items():
                tensors[f"{name}/{key}"] = value
            if parameter in self._muon.momentum:
                tensors[f"{name}/{MOMENTUM}"] = self._muon.momentum[parameter]
        return tensors

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave.

        Raises:
            CheckpointError: the tensors belong to another model.
        """
        for path, tensor in tensors.items():
            name, _, key = path.rpartition("/")
            if name not in self._parameters:
                raise CheckpointError(f"the checkpoint's optimizer knows {name!r}; the model not")
            parameter = self._parameters[name]
            remembered = self._adamw.state.get(parameter, {})
            if parameter in self._muon.momentum:
                remembered = {MOMENTUM: self._muon.momentum[parameter]}
            if key not in remembered:
                raise CheckpointError(
                    f"the checkpoint remembers {key!r} of {name}, which another optimizer keeps; "
                    "go on with the optimizer that it was begun with"
                )
            remembered[key].copy_(tensor)


def _sorted(
    decoder: Decoder, config: TrainingConfig
) -> tuple[dict[float, list[nn.Parameter]], list[nn.Parameter], list[nn.Parameter]]:
    """The parameters for Muon by their share of its rate, and AdamW's with and without decay."""
    muon: dict[float, list[nn.Parameter]] = {}
    decaying: list[nn.Parameter] = []
    lasting: list[nn.Parameter] = []
    for name, parameter in decoder.named_parameters():
        if parameter.dim() < 2 or not name.startswith("blocks."):
            lasting.append(parameter)
        elif config.optimizer == "muon":
            muon.setdefault(_share(name, decoder.config), []).append(parameter)
        else:
            decaying.append(parameter)
    return muon, decaying, lasting


def _share(name: str, config: ModelConfig) -> float:
    """How much of Muon's rate a matrix takes.

    Where scores are not scaled, a step of queries and keys moves the scores by sqrt(d_head) times
    as much, and soon the softmax looks at one word only. A fourth root less for each of the two
    moves the scores as if they were scaled (docs/lab-log.md, the seed model).
    """
    asks = name.split(".")[-2] in ("query", "key")
    return 1.0 if config.scaled_scores or not asks else float(config.head_width**-0.25)

"""The optimizer: Muon turns the blocks' matrices, AdamW everything else.

Muon (Jordan et al. 2024) orthogonalises each matrix's momentum, so that every direction of the
matrix learns at the same speed. Embeddings, the unembedding, biases and norms are not such
matrices and stay with AdamW (arXiv 1711.05101).
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nextword.config import ModelConfig, TrainingConfig
from nextword.errors import CheckpointError
from nextword.model.decoder import Decoder


class Optimizer:
    """Muon and AdamW behind one face, with one schedule, saved as plain tensors."""

    def __init__(self, decoder: Decoder, config: TrainingConfig) -> None:
        self._names = {parameter: name for name, parameter in decoder.named_parameters()}
        muon, matrices, vectors = _sorted(decoder, config)
        self._fused = decoder.device.type in ("cpu", "cuda")
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": matrices, "weight_decay": config.weight_decay},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                lr=config.learning_rate,
                betas=(config.beta1, config.beta2),
                fused=self._fused,
            )
        ]
        if muon:
            part = torch.optim.Muon(
                [
                    {"params": parameters, "lr": config.muon_learning_rate * share}
                    for share, parameters in muon.items()
                ],
                momentum=config.momentum,
                weight_decay=config.weight_decay,
            )
            self._parts.append(part)
        self._rates = [[group["lr"] for group in part.param_groups] for part in self._parts]

    def step(self, share: float) -> None:
        """Adjust every weight by its gradient, with `share` of the learning rates."""
        for part, rates in zip(self._parts, self._rates, strict=True):
            for group, rate in zip(part.param_groups, rates, strict=True):
                group["lr"] = rate * share
            part.step()

    def forget_gradients(self) -> None:
        """Drop the gradients, before the next are worked out."""
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the optimizer remembers, as `parameter/what` → tensor."""
        return {
            f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
            for name, state in self._states()
            for key, value in state.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave.

        Raises:
            CheckpointError: the tensors belong to another model.
        """
        by_name = {name: parameter for parameter, name in self._names.items()}
        states: dict[str, dict[str, Tensor]] = {name: {} for name in by_name}
        for path, tensor in tensors.items():
            name, _, key = path.rpartition("/")
            if name not in states:
                raise CheckpointError(f"the checkpoint's optimizer knows {name!r}; the model not")
            states[name][key] = tensor
        for part in self._parts:
            for parameter in _parameters(part):
                part.state[parameter] = {
                    # AdamW counts its steps on the CPU, unless it is fused
                    key: tensor.clone()
                    if key == "step" and not self._fused
                    else tensor.to(parameter.device, copy=True)
                    for key, tensor in states[self._names[parameter]].items()
                }

    def _states(self) -> Iterator[tuple[str, Mapping[str, Tensor | float]]]:
        for part in self._parts:
            for parameter in _parameters(part):
                if parameter in part.state:
                    yield self._names[parameter], part.state[parameter]


def _sorted(
    decoder: Decoder, config: TrainingConfig
) -> tuple[dict[float, list[nn.Parameter]], list[nn.Parameter], list[nn.Parameter]]:
    """The parameters for Muon by their share of its rate, and AdamW's with and without decay."""
    muon: dict[float, list[nn.Parameter]] = {}
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in decoder.named_parameters():
        if parameter.dim() < 2:
            vectors.append(parameter)
        elif config.optimizer == "muon" and name.startswith("blocks."):
            muon.setdefault(_share(name, decoder.config), []).append(parameter)
        else:
            matrices.append(parameter)
    return muon, matrices, vectors


def _share(name: str, config: ModelConfig) -> float:
    """How much of Muon's rate a matrix takes.

    Where scores are not scaled, a step of queries and keys moves the scores by sqrt(d_head) times
    as much, and soon the softmax looks at one word only. A fourth root less for each of the two
    moves the scores as if they were scaled (docs/lab-log.md, the seed model).
    """
    asks = name.split(".")[-2] in ("query", "key")
    return 1.0 if config.scaled_scores or not asks else float(config.head_width**-0.25)


def _parameters(part: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    for group in part.param_groups:
        yield from group["params"]

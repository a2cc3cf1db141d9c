"""One forward, remembered: run the reference with a recorder and look values up by name."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from nextword.config import ModelConfig
from nextword.errors import ConfigError, unknown
from nextword.glass.points import matching
from nextword.glass.reference import forward
from nextword.model.decoder import Decoder


class Trace:
    """The values of one forward by stable name; `trace["blocks.0.attention.query"]`.

    Attributes:
        config: the model's.
        token_ids: the sentence, [T].
        values: name → value, float32, in the order in which they were computed.
        fast_difference: the largest difference between the logits here and the fast decoder's.
    """

    def __init__(
        self,
        config: ModelConfig,
        token_ids: Tensor,
        values: Mapping[str, Tensor],
        *,
        fast_difference: float,
    ) -> None:
        self.config = config
        self.token_ids = token_ids
        self.values = dict(values)
        self.fast_difference = fast_difference

    def __getitem__(self, name: str) -> Tensor:
        """A value by name; with `*`, the values of all that match, stacked in a new first axis.

        Raises:
            ConfigError: no value kept under this name; the message has the nearest.
        """
        if name in self.values:
            return self.values[name]
        hits = [value for key, value in self.values.items() if fnmatchcase(key, name)]
        if not hits:
            raise ConfigError(unknown("value in this trace", name, self.values))
        return torch.stack(hits)

    def __contains__(self, name: object) -> bool:
        return name in self.values


@torch.no_grad()
def record(decoder: Decoder, token_ids: Tensor, *, keep: Iterable[str] = ("*",)) -> Trace:
    """Run one sentence through the reference forward and keep what `keep` names.

    Args:
        decoder: the model.
        token_ids: [T] int64.
        keep: names of points, `*` for any part; fewer bound the memory.

    Raises:
        ConfigError: a name that this model has no point for.
        ContextError: more tokens than learned positions.
    """
    wanted = matching(keep, decoder.config)
    values: dict[str, Tensor] = {}

    def recorder(name: str, value: Tensor) -> Tensor:
        if name in wanted:
            values[name] = value
        return value

    logits = forward(decoder, token_ids, recorder)
    was_training = decoder.training
    fast = decoder.eval()(token_ids.unsqueeze(0))[0].float()  # [T, V]
    decoder.train(was_training)
    difference = (fast - logits).abs().max().item() if len(token_ids) else 0.0
    return Trace(decoder.config, token_ids, values, fast_difference=difference)

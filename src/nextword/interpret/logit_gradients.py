"""How a logit changes with each number of the forward."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nextword.errors import LossError
from nextword.interpret.logit_attribution import token_of
from nextword.interpret.points import check_place, chosen
from nextword.interpret.reference import forward
from nextword.interpret.verdicts import NOT_FINITE, most_likely

if TYPE_CHECKING:
    from nextword.interpret.trace import Trace


@torch.inference_mode(mode=False)
def gradients(
    trace: "Trace",
    names: Sequence[str],
    *,
    position: int = -1,
    token: int | None = None,
    against: int | None = None,
) -> dict[str, Tensor]:
    """The gradient of a logit, or of the difference of two, with respect to values.

    Args:
        trace: of the sentence.
        names: of points, `*` for any part.
        position: whose next word it is about; from 0, or from the end when below 0.
        token: whose logit; None: the most likely token's.
        against: whose logit is taken off; None: none is.

    Returns:
        For each full name, in the order of the forward, a tensor of the point's shape; 0 where
        the logit does not depend on the value.

    Raises:
        ConfigError: there is no such point, position or token, or the trace is out of date.
        LossError: the logits are not finite.
    """
    _ = trace.basis  # refused where the weights have changed
    wanted = chosen(names, trace.config)
    position = check_place("position", position, len(trace.token_ids))
    values: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> Tensor:
        if name in wanted:
            values[name] = value.requires_grad_()
        return value

    with torch.enable_grad():
        logits = forward(trace.decoder, trace.token_ids.clone(), keep)[position]  # [V]
        if not logits.isfinite().all():
            raise LossError(NOT_FINITE)
        best = most_likely(logits.detach(), 1)[0]
        token = best if token is None else token_of(token, len(logits))
        logit = logits[token]
        if against is not None:
            logit = logit - logits[token_of(against, len(logits))]
        found = torch.autograd.grad(logit, list(values.values()), materialize_grads=True)
    return dict(zip(values, found, strict=True))

"""How well a model predicts the last tenth of a text: the same judge for every program."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

HELD_OUT_SHARE = 0.1
BATCH_TOKENS = 8192  # worked through at once


@torch.no_grad()
def full_pass(predict: Callable[[Tensor], Tensor], ids: Sequence[int], *, context: int) -> float:
    """The mean of -log p(next token) over all positions of windows that do not overlap.

    Args:
        predict: token ids [B, T] to logits [B, T, V].
        ids: the text held out; a rest shorter than a window is left out.
        context: T, tokens of a window.
    """
    windows = (len(ids) - 1) // context
    tokens = torch.tensor(ids[: windows * context]).view(windows, context)  # [N, T]
    targets = torch.tensor(ids[1 : windows * context + 1]).view(windows, context)
    rows = max(1, BATCH_TOKENS // context)
    total = 0.0
    for first in range(0, windows, rows):
        logits = predict(tokens[first : first + rows]).float()  # [B, T, V]
        wanted = targets[first : first + rows].flatten()
        total += F.cross_entropy(logits.flatten(0, 1), wanted, reduction="sum").item()
    return total / (windows * context)


def folder_loss(folder: Path, data: Path) -> tuple[float, int]:
    """Load a model's folder and judge it by the last tenth of the text that it learned from.

    It shares nothing with the run's own judge but the place at which the text is cut.

    Returns:
        The held-out loss in nats per token, and how many parameters the model has.
    """
    import nextword  # here: the peer, which is judged by `full_pass`, must not pay for loading it

    model = nextword.load(folder)
    ids = [*model.tokenizer.encode(data.read_text(encoding="utf-8")), model.tokenizer.end_id]
    held_out = ids[len(ids) - round(len(ids) * HELD_OUT_SHARE) :]
    loss = full_pass(model.decoder, held_out, context=model.config.context_length)
    return loss, model.decoder.n_parameters

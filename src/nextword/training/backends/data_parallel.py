"""The gradients of a batch: forward, compare, and back through everything that can be adjusted.

On a CPU the rows of a large enough batch are split into shards: each is computed by one thread of a
pool (`training/backends/thread_pool.py`), and the gradients of all shards are summed in a fixed
order. On an idle machine that is faster, on a busy one more than twice as fast (docs/lab-log.md).
The number of shards decides how sums round, so it is part of the plan of a run; the number of
threads that work on them decides nothing.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nextword.config import TrainingConfig
from nextword.errors import ConfigError
from nextword.kernels.fused_blocks import KeptBlocks
from nextword.kernels.quantized_weights import ShortForms
from nextword.model import whole
from nextword.model.decoder import Decoder
from nextword.training.backends.compiling import loss_function
from nextword.training.backends.precision import SHORT, goes_at_once, short_bits
from nextword.training.backends.thread_pool import ThreadPool

LEAST_WORK = 4e9  # multiplications and additions of a thread's rows; less would not pay
LEAST_WORK_WHOLE = 1e9  # the same where all blocks are gone through in one call
EVEN = 0.8  # of the threads' time at least is used; three rows on two threads waste a quarter
TOGETHER = 2**22  # weights from which on threads make their short forms together, each once
LARGE = 2**16  # numbers of a gradient that all threads add up, each a part of it
MOST_GRADIENTS = 2**25  # numbers of all shares, each of which has gradients of its own
MOST_GRADIENTS_SHORT = 2**29  # the same where products are of whole numbers, and so much faster

Rows = tuple[Tensor, Tensor, Tensor | None]  # tokens, targets, documents; see `loss_of`


class _Share(NamedTuple):
    """What one thread brings back."""

    loss: float
    gradients: Sequence[Tensor]  # of `Gradients._outside`, then what was kept, in one piece


class Gradients:
    """Computes the gradients of a decoder's loss, on as many threads as pay.

    Args:
        decoder: whose parameters they are of; is told of what its products are.
        training: how it learns; its precision is one that is computed in, not "auto".
        rows, context: of one forward pass.
        shards: into how many parts the rows are split; None: as `n_shards` has it.
        native: whether each is computed by a single thread, all blocks in one call of C, where
            there is C for them; None: where there is one for each of torch's threads.

    Attributes:
        shards: the number of parts.
        native: whether blocks go through C, see above.
        pool: the threads that work on them.
    """

    def __init__(
        self,
        decoder: Decoder,
        training: TrainingConfig,
        *,
        rows: int,
        context: int,
        shards: int | None = None,
        native: bool | None = None,
    ) -> None:
        self._decoder = decoder
        self._loss_of = partial(loss_function(training), smoothing=training.label_smoothing)
        if shards is None:
            shards = n_shards(decoder, training, rows=rows, context=context)
        self.shards = shards
        self.pool = _pool(shards, native=native)
        at_once = (
            native is not False
            and self.pool.torch_threads == 1
            and goes_at_once(decoder, training, decoder.device)
            and self.pool.map(lambda _: torch.get_num_threads(), range(shards)) == [1] * shards
        )
        self.native = at_once
        if training.dropout and not at_once and shards > 1:  # torch would draw in several threads
            self.pool, self.shards, shards = ThreadPool(), 1, 1
        decoder.short_bits = short_bits(decoder, training, decoder.device, at_once=at_once)
        if training.precision in SHORT and not decoder.short_bits:
            raise ConfigError(
                f"precision '{training.precision}' is for training without compile, of an "
                "architecture that the C kernels support. Change one of these, or give precision "
                "'auto', which takes the fastest that this machine has"
            )
        self._weights = weights = whole.weights_of(decoder.blocks) if at_once else []
        self._kept: list[KeptBlocks | None] = [None] * shards
        self._short: ShortForms | None = None
        if decoder.short_bits and decoder.n_parameters >= TOGETHER:
            words = decoder.unembedding.weight if whole.has_loss(decoder.config) else None
            self._short = ShortForms(weights, words, bits=decoder.short_bits, pieces=shards)
        if at_once:
            self._kept = [KeptBlocks(weights, self._short) for _ in range(shards)]
        inside = {id(weight) for weight in weights}
        self._outside = [each for each in decoder.parameters() if id(each) not in inside]

    def add(self, rows: Rows, *, known: int) -> float:
        """Add to every parameter's gradient what these rows give.

        Args:
            rows: of one forward pass.
            known: positions of the whole batch that have a next word, by which the sum is divided.

        Returns:
            The rows' share of the batch's mean loss.
        """
        parts = torch.tensor(float(known))
        if self.shards == 1 and self._kept[0] is None:
            mean = self._loss_of(self._decoder, *rows, known=parts)
            mean.backward()  # type: ignore[no-untyped-call]
            return mean.item()
        for kept in self._kept:
            if kept is not None and self._decoder.dropout:
                kept.drop(self._decoder.dropout, int(torch.randint(2**62, ())))
        dealt = list(zip(self._kept, self._deal(rows), strict=False))
        earlier = self._earlier()
        if self._short is not None:
            self.pool.map(self._short.renew, self._short.pieces)
        shares = self.pool.map(lambda share: self._apart(*share, parts), dealt)
        self._add_up([*(share.gradients for share in shares), *earlier])
        return sum(share.loss for share in shares)

    def _earlier(self) -> list[list[Tensor]]:
        """The gradients of earlier rows of the batch, as a share; nothing where there are none."""
        first, outside = self._kept[0], [each.grad for each in self._outside]
        there = [each for each in outside if each is not None]
        if not there:
            return []
        assert len(there) == len(outside), "every weight takes part in every loss"
        return [there if first is None else [*there, first.gradients.all.clone()]]

    def _apart(self, kept: KeptBlocks | None, rows: Rows, known: Tensor) -> _Share:
        """A share of the loss and its gradients, which touch no other share's."""
        if kept is None:
            loss = self._loss_of(self._decoder, *rows, known=known)
            return _Share(loss.item(), torch.autograd.grad(loss, self._outside))
        kept.entered = False
        loss = self._loss_of(self._decoder, *rows, known=known, kept=kept)
        if not kept.entered:
            raise RuntimeError(
                "the decoder is not in training mode, or torch's number of threads was changed "
                "while it learns; call decoder.train(), and leave the threads as they are"
            )
        gradients = torch.autograd.grad(loss, self._outside)
        return _Share(loss.item(), [*gradients, kept.gradients.all])

    def _add_up(self, shares: Sequence[Sequence[Tensor]]) -> None:
        """Add all shares to the first, always in one order: sums round alike."""
        count = self.shards

        def pieces(share: Sequence[Tensor], number: int) -> list[Tensor]:
            return [
                each.tensor_split(count)[number] if each.numel() >= LARGE else each
                for place, each in enumerate(share)
                if each.numel() >= LARGE or place % count == number
            ]

        def add_up(number: int) -> None:
            total, *others = (pieces(share, number) for share in shares)
            for other in others if total else []:
                torch._foreach_add_(total, other)

        if len(shares) > 1:
            self.pool.map(add_up, range(count))
        for parameter, gradient in zip(self._outside, shares[0], strict=False):
            parameter.grad = gradient
        inside = [] if self._kept[0] is None else self._kept[0].gradients.of_weights
        for weight, kept in zip(self._weights, inside, strict=True):
            if weight is not None:
                weight.grad = kept

    def _deal(self, rows: Rows) -> list[Rows]:
        """Split the rows into as many shards as there are, or rows."""
        tokens, targets, documents = rows
        count = min(self.shards, len(tokens))
        apart = [None] * count if documents is None else documents.tensor_split(count)
        return list(
            zip(tokens.tensor_split(count), targets.tensor_split(count), apart, strict=True)
        )


def n_shards(
    decoder: Decoder,
    training: TrainingConfig,
    *,
    rows: int,
    context: int,
    device: torch.device | None = None,
) -> int:
    """Return into how many shards a forward pass of so many rows is split; 1: it is not.

    Compiled code has threads of its own, and a GPU needs none. torch's dropout draws its random
    numbers from one source, in an order that threads would change from run to run; ours does not.

    Args:
        decoder: whose sizes and precision decide.
        training: how it learns.
        rows, context: how many sequences of how many tokens.
        device: where it will be; None: where the decoder is.
    """
    device = device or decoder.device
    if device.type != "cpu" or training.compile == "yes":
        return 1
    threads = torch.get_num_threads()
    work = flops_per_token(decoder, context) * rows * context

    def pays(count: int) -> bool:
        known = count == threads and goes_at_once(decoder, training, device)
        if training.dropout and not known:
            return False
        bits = short_bits(decoder, training, device, at_once=known)
        least = LEAST_WORK_WHOLE if known else LEAST_WORK
        most = MOST_GRADIENTS_SHORT if bits else MOST_GRADIENTS
        even = rows / (count * math.ceil(rows / count)) >= EVEN
        fits = count * decoder.n_parameters <= most
        return even and fits and work >= count * least

    counts = (n for n in range(2, min(threads, rows) + 1) if threads % n == 0)
    return max(filter(pays, counts), default=1)


def _pool(shards: int, *, native: bool | None) -> ThreadPool:
    """Return the threads for so many shards: no more than torch may use, a part of those each."""
    threads = torch.get_num_threads()
    if native:
        return ThreadPool(min(shards, threads), torch_threads=1)
    if shards == 1:
        return ThreadPool()
    return ThreadPool(min(shards, threads), torch_threads=max(1, threads // shards))


def flops_per_token(decoder: Decoder, context_length: int) -> float:
    """Multiplications and additions of training on one token (arXiv 2204.02311, appendix B).

    Six for every weight that a vector is multiplied with (two forward, four backward), and twelve
    for each of layers × context × joined head width in attention. Looking up an embedding is free.
    """
    config = decoder.config
    looked_up = 0 if config.tied_embeddings else config.vocab_size * config.d_model
    if decoder.position_embedding is not None:
        looked_up += config.context_length * config.d_model
    matrices = decoder.n_parameters - looked_up
    joined = config.n_heads * config.head_width
    return 6.0 * matrices + 12.0 * config.n_layers * context_length * joined

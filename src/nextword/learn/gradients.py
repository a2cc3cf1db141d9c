"""The gradients of a batch: forward, compare, and back through everything that can be adjusted.

torch's threads share every single product and wait for each other after each. Where one of them is
held up by another program, all are. So on a processor the rows of a large enough batch are dealt
out: each thread works out the gradients of its own rows, and the threads meet once per step. On an
idle machine that is a little faster, on a busy one more than twice as fast (docs/lab-log.md).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from nextword.config import TrainingConfig
from nextword.learn.compiling import loss_function
from nextword.model.decoder import Decoder

LEAST_WORK = 4e9  # multiplications and additions of a thread's rows; less would not pay
MOST_SHARES = 4  # more threads than that share the products of some rows

Rows = tuple[Tensor, Tensor, Tensor | None]  # tokens, targets, documents; see `loss_of`


class Gradients:
    """Works out the gradients of a decoder's loss, on as many threads as pay.

    Args:
        decoder: whose parameters they are of.
        training: how it learns.
        tokens: of one forward pass: rows × context.
        shared: whether rows may be dealt out at all.
    """

    def __init__(
        self, decoder: Decoder, training: TrainingConfig, *, tokens: int, shared: bool = True
    ) -> None:
        self._decoder = decoder
        self._loss_of = loss_function(training)
        self._parameters = list(decoder.parameters())
        self.n_shares = n_shares(decoder, training, tokens=tokens) if shared else 1
        self._threads: ThreadPoolExecutor | None = None

    def add(self, rows: Rows, *, known: int) -> float:
        """Add to every parameter's gradient what these rows give.

        Args:
            rows: of one forward pass.
            known: positions of the whole batch that have a next word, by which the sum is divided.

        Returns:
            The rows' share of the batch's mean loss.
        """
        if self.n_shares == 1:
            mean = self._loss_of(self._decoder, *rows) / known
            mean.backward()  # type: ignore[no-untyped-call]
            return mean.item()
        if self._threads is None:
            self._threads = self._start()
        futures = [self._threads.submit(self._apart, share, known) for share in self._deal(rows)]
        total = 0.0
        for loss, gradients in [future.result() for future in futures]:
            total += loss
            for parameter, gradient in zip(self._parameters, gradients, strict=True):
                if parameter.grad is None:
                    parameter.grad = gradient
                else:  # always in this order, so that sums round alike
                    parameter.grad += gradient
        return total

    def _apart(self, rows: Rows, known: int) -> tuple[float, Sequence[Tensor]]:
        """A share of the loss and its gradients, which touch no other share's."""
        loss = self._loss_of(self._decoder, *rows) / known
        return loss.item(), torch.autograd.grad(loss, self._parameters)

    def _deal(self, rows: Rows) -> list[Rows]:
        """The rows in as many shares as there are threads, or rows."""
        tokens, targets, documents = rows
        shares = tokens.chunk(self.n_shares)
        apart = [None] * len(shares) if documents is None else documents.chunk(self.n_shares)
        return list(zip(shares, targets.chunk(self.n_shares), apart, strict=True))

    def _start(self) -> ThreadPoolExecutor:
        """The threads, each with its part of those that torch may use."""
        each = max(1, torch.get_num_threads() // self.n_shares)
        return ThreadPoolExecutor(
            self.n_shares,
            thread_name_prefix="gradients",
            initializer=torch.set_num_threads,
            initargs=(each,),
        )


def n_shares(
    decoder: Decoder, training: TrainingConfig, *, tokens: int, device: torch.device | None = None
) -> int:
    """On how many threads a forward pass of so many tokens is dealt out; none is left idle.

    Compiled code has threads of its own, a GPU needs none, and dropout draws its random numbers
    from one source, in an order that threads would change from run to run.

    Args:
        decoder: whose sizes decide.
        training: how it learns.
        tokens: rows × context.
        device: where it will be; None: where the decoder is.
    """
    kind = (device or decoder.device).type
    alone = kind != "cpu" or training.compile == "yes" or training.dropout > 0
    if alone:
        return 1
    work = flops_per_token(decoder, decoder.config.context_length) * tokens
    threads, most = torch.get_num_threads(), min(MOST_SHARES, int(work / LEAST_WORK))
    return max((n for n in range(2, most + 1) if threads % n == 0), default=1)


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

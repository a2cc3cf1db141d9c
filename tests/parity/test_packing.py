"""Documents packed into rows: the losses that each has alone, and hardly a position without one."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud
from tests.small_runs import write_dialogues
from torch import Tensor
from torch.nn import functional as F

from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.data.samples.packed_dialogues import Rows
from nextword.evaluate.scoring import to_tensors
from nextword.model import Decoder
from nextword.model.attention import Kernel
from nextword.presets import preset
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.request import TrainRequest

KERNELS: tuple[Kernel, ...] = ("fused", "explicit")
CPU = torch.device("cpu")
LEAST_SHARE = 0.95  # of the positions that carry loss


def prepared(path: Path, folder: Path, *, tokenizer: str = "bpe") -> Prepared:
    """A file as a training would have it, with the defaults for all else."""
    request = TrainRequest(data=(str(path),), out=folder, tokenizer=tokenizer)
    corpus = open_corpus(request.data)
    return prepare_data(request, corpus, find_tokenizer(request, corpus), folder, warn=print)


def by_kernel(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> None:
    monkeypatch.setattr("nextword.model.decoder.choose_kernel", lambda **_: kernel)


@torch.no_grad()
def packed_losses(decoder: Decoder, rows: Rows, *, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The tokens of each document in the first rows, and the losses of all but its last."""
    tokens, targets, documents = to_tensors(rows.batch(0, count), CPU)
    assert documents is not None
    logits = decoder(tokens, documents=documents)
    losses = F.cross_entropy(logits.mT, targets, reduction="none", ignore_index=-1)  # [B, T]
    for row in range(count):
        for number in range(int(documents[row].max()) + 1):
            here = documents[row] == number
            assert targets[row][here][-1] == -1  # the next token is another document's
            yield tokens[row][here], losses[row][here][:-1]


@torch.no_grad()
def losses_alone(decoder: Decoder, document: Tensor) -> Tensor:
    logits = decoder(document[None, :-1])[0]
    return F.cross_entropy(logits, document[1:], reduction="none")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["seed", "gpt2", "llama", "qwen3", "sliding window"])
def test_packed_losses_are_those_of_each_document_alone(
    name: str, kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(write_dialogues(tmp_path / "a.jsonl"), tmp_path, tokenizer="words")
    shards, decoder = data.shards, loud(config_of(name))
    rows = Rows(shards, context_length=31, seed=0)
    by_kernel(monkeypatch, kernel)
    found = list(packed_losses(decoder, rows, count=rows.n_rows))
    starts = shards.document_starts.tolist()
    documents = [shards.tokens(*span).tolist() for span in itertools.pairwise(starts)]
    assert rows.n_rows < len(documents) / 2
    assert sorted(tokens.tolist() for tokens, _ in found) == sorted(documents)
    for tokens, losses in found:
        alone = losses_alone(decoder, tokens)
        torch.testing.assert_close(losses, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_document_that_saw_its_neighbour_would_have_other_losses(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail: in a talk the documents of a row do see each other."""
    data = prepared(write_dialogues(tmp_path / "a.jsonl"), tmp_path, tokenizer="words")
    decoder = loud(config_of("llama"))
    rows = Rows(data.shards, context_length=31, seed=0, talks=1.0)
    by_kernel(monkeypatch, kernel)
    tokens, targets, documents = to_tensors(rows.batch(0, 1), CPU)
    with torch.no_grad():
        logits = decoder(tokens, documents=documents)[0]
    last = int((targets[0] == -1).nonzero()[0]) + 1  # where the first document has ended
    stop = int((targets[0, last:] == -1).nonzero()[0]) + last + 1
    losses = F.cross_entropy(logits[last : stop - 1], targets[0, last : stop - 1], reduction="none")
    alone = losses_alone(decoder, tokens[0, last:stop])
    assert (losses - alone).abs().max() > 0.01


def test_nearly_every_position_carries_loss_on_real_dialogues(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(shared_data / "gsm8k-train.jsonl", tmp_path)
    assert data.context == 512
    rows = data.samples(seed=0, learn="everything", talks=0.0)
    assert isinstance(rows, Rows)
    first = 0
    for epoch in range(3):
        count = rows.n_samples(epoch)
        targets = rows.batch(first, count)[1]
        assert np.mean(targets >= 0) > LEAST_SHARE, epoch
        first += count
    config = preset("qwen3", vocab_size=data.tokenizer.vocab_size, context_length=512, depth=1)
    decoder = loud(config)
    for kernel in KERNELS:
        by_kernel(monkeypatch, kernel)
        found = list(packed_losses(decoder, rows, count=2))
        assert len(found) > 4
        for tokens, losses in found:
            alone = losses_alone(decoder, tokens)
            torch.testing.assert_close(losses, alone, rtol=1e-5, atol=1e-5)

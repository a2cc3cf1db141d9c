"""What is rehearsed: where it comes from, what is left out of it, and what comes when."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.small_runs import write_dialogues, write_text
from torch import Tensor

from nextword.config import ModelConfig
from nextword.data.prompting import Prompting
from nextword.data.replay_sample import Reservoir
from nextword.data.samples.datasets import Batch
from nextword.errors import DataError, LossError
from nextword.formats.huggingface.save_load import Kind
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.teach.edit import rehearsal
from nextword.teach.edit.correction import Correction
from nextword.teach.edit.rehearsal import Rehearsal, find_rehearsal
from nextword.teach.edit.reminders import Reminders, chosen
from nextword.teach.edit.token_batches import apart_from, picked, side_by_side
from nextword.teach.journal.history import History
from nextword.tokenizer.tokenizer import Tokenizer


@dataclass
class Pupil:
    """A model in memory."""

    decoder: Decoder
    tokenizer: Tokenizer
    kind: Kind = "dialogue"
    folder: Path | None = None
    version: str = "0"
    history: History | None = None

    @property
    def config(self) -> ModelConfig:
        return self.decoder.config

    @property
    def prompting(self) -> Prompting:
        return Prompting(self.tokenizer)


def pupil(text: str, *, context: int = 19) -> Pupil:
    tokenizer = Tokenizer.learn([text], kind="words")
    sizes: dict[str, Any] = {"d_model": 20, "n_heads": 2, "n_layers": 1, "tied_embeddings": False}
    config = preset("qwen3", vocab_size=tokenizer.vocab_size, context_length=context, **sizes)
    return Pupil(noisy(config, seed=5), tokenizer)


def noisy(config: ModelConfig, *, seed: int) -> Decoder:
    """A decoder whose predictions differ from one position to the next."""
    decoder = Decoder(config, seed=seed).eval()
    with torch.no_grad():
        decoder.unembedding.weight.normal_(0, 0.5, generator=torch.Generator().manual_seed(11))
    return decoder


def correction(ids: tuple[int, ...], first: int) -> Correction:
    """Everything from position `first` on is to be learned."""
    learned = tuple(range(first, len(ids) - 1))
    return Correction(ids=ids, learned=learned, prompt=("?",), reply="!", kind="pair")


def packed(*rows: list[tuple[int, ...]]) -> Batch:
    """Rows of whole documents, one after the other, padded with 0."""
    width = max(sum(map(len, row)) for row in rows)
    tokens = np.zeros((len(rows), width), np.int64)
    targets, documents = tokens - 1, (tokens - 1).astype(np.int32)
    for number, row in enumerate(rows):
        at = 0
        for document, ids in enumerate(row):
            tokens[number, at : at + len(ids)] = ids
            targets[number, at : at + len(ids) - 1] = ids[1:]
            documents[number, at : at + len(ids)] = document
            at += len(ids)
    return tokens, targets, documents


def test_a_document_that_goes_on_otherwise_loses_its_rest_and_a_like_one_the_taught_words() -> None:
    batch = packed(
        [(7, 3, 11, 13, 3), (7, 3, 5, 13, 3)],  # another reply; then the right one's first words
        [(2, 7, 3, 11), (7, 3), (5, 3)],  # another beginning; too short; only across documents
    )
    found, contradicted = apart_from(batch, [correction((7, 3, 5, 3), 1)])
    assert found[1].tolist() == [
        [3, -1, -1, -1, -1, 3, -1, -1, -1, -1],
        [7, 3, 11, -1, 3, -1, 3, -1, -1, -1],
    ]
    # 11, 13, 3 after the first prompt; in the second document 13 and 3, where 3 was to come
    assert contradicted == 5
    assert batch[1][0].tolist() == [3, 11, 13, 3, -1, 3, 5, 13, 3, -1]  # the given one stays


def test_the_same_words_as_taught_are_left_out_and_contradict_nothing() -> None:
    batch = packed([(7, 3, 5, 3, 17)])
    found, contradicted = apart_from(batch, [correction((7, 3, 5, 3), 1)])
    assert found[1].tolist() == [[3, -1, -1, 17, -1]]  # what comes after them stays
    assert contradicted == 0


def test_windows_of_text_are_one_document_each() -> None:
    tokens = np.array([[7, 3, 11], [3, 7, 3]], np.int64)
    targets = np.array([[3, 11, 2], [7, 3, 5]], np.int64)
    found, contradicted = apart_from((tokens, targets, None), [correction((7, 3, 5), 1)])
    assert found[1].tolist() == [[3, -1, -1], [7, 3, 5]]
    assert contradicted == 2


def test_a_rehearsal_leaves_out_in_both_sets() -> None:
    known, held_out = packed([(7, 3, 11)], [(2, 3, 11)]), packed([(7, 3, 13)])
    found, contradicted = Rehearsal("file", known, held_out).apart_from([correction((7, 3, 5), 1)])
    assert found.held_out is not None
    assert found.known[1].tolist() == [[3, -1, -1], [3, 11, -1]]
    assert found.held_out[1].tolist() == [[3, -1, -1]]
    assert contradicted == 2
    alone, contradicted = Rehearsal("file", known, None).apart_from([])
    assert (alone.held_out, contradicted) == (None, 0)
    assert np.array_equal(alone.known[1], known[1])


def test_sequences_side_by_side_and_some_of_them() -> None:
    batch = side_by_side([[7, 3], [5, 11, 13, 2]], pad_id=17)
    assert batch[0].tolist() == [[7, 17, 17], [5, 11, 13]]
    assert batch[1].tolist() == [[3, -1, -1], [11, 13, 2]]
    assert batch[2] is not None and batch[2].tolist() == [[0, -1, -1], [0, 0, 0]]
    first = picked(batch, [0])
    assert first[0].tolist() == [[7]] and first[1].tolist() == [[3]]  # without what is padding


def test_all_sequences_come_once_before_any_comes_again() -> None:
    steps = [chosen(7, 3, step=step, seed=2).tolist() for step in range(7)]
    numbers = [number for step in steps for number in step]  # 21: three rounds of 7
    rounds = [numbers[first : first + 7] for first in (0, 7, 14)]
    assert [sorted(one) for one in rounds] == [list(range(7))] * 3
    assert rounds[0] != rounds[1] != rounds[2]
    assert chosen(7, 3, step=4, seed=2).tolist() == steps[4]  # of the step alone
    assert [chosen(7, 3, step=step, seed=3).tolist() for step in range(7)] != steps


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (4, 1), (5, 2), (6, 2), (11, 4), (99, 4)])
def test_a_step_has_whole_rows_with_about_so_many_documents(count: int, rows: int) -> None:
    row: list[tuple[int, ...]] = [(3, 2), (4, 2), (5, 2)]
    known = packed(*[row] * 4)
    taught = pupil("a b c")
    reminders = Reminders(taught.decoder, Rehearsal("file", known, None), count=count, seed=0)
    assert len(reminders.rows(0)) == rows


def test_a_step_of_long_rows_has_few_of_them() -> None:
    tokens = np.ones((7, 257), np.int64)
    taught = pupil("a b c")
    known = Rehearsal("file", (tokens, tokens, None), None)
    assert len(Reminders(taught.decoder, known, count=16, seed=0).rows(0)) == 3  # 771 of 1,024
    tokens = np.ones((2, 1031), np.int64)
    known = Rehearsal("file", (tokens, tokens, None), None)
    assert len(Reminders(taught.decoder, known, count=16, seed=0).rows(0)) == 1


def log_shares(decoder: Decoder, ids: list[int]) -> Tensor:
    with torch.no_grad():
        logits: Tensor = decoder(torch.tensor([ids]))[0]
    return logits.double().log_softmax(-1)


@pytest.mark.parametrize("kept_bytes", [0, 300, 1 << 20])
def test_how_far_a_decoder_moved_equals_a_plain_computation(kept_bytes: int) -> None:
    taught = pupil("a b c d e f g")
    other = noisy(taught.config, seed=6)
    sequences = [[3, 5, 2], [4, 2], [6, 3, 4, 5, 2]]
    known = side_by_side(sequences, pad_id=0)
    reminders = Reminders(
        taught.decoder, Rehearsal("file", known, None), count=2, seed=7, kept_bytes=kept_bytes
    )
    for step in (0, 1, 2, 0, 1, 2):
        rows = reminders.rows(step)
        moved, n = 0.0, 0
        for row in rows:
            old, new = (log_shares(it, sequences[row][:-1]) for it in (taught.decoder, other))
            moved += float((old.exp() * (old - new)).sum())
            n += len(old)
        assert reminders.kl(other, step).item() == pytest.approx(moved / n, rel=1e-5)
        assert moved / n > 0.1
    assert sorted({row for step in range(3) for row in reminders.rows(step)}) == [0, 1, 2]


def test_gradients_come_even_under_inference_mode_and_only_for_the_copy() -> None:
    taught = pupil("a b c d e f g")
    other = noisy(taught.config, seed=6)
    known = side_by_side([[3, 5, 2], [4, 2]], pad_id=0)
    with torch.inference_mode():
        reminders = Reminders(taught.decoder, Rehearsal("file", known, None), count=9, seed=0)
        with torch.inference_mode(False), torch.enable_grad():
            reminders.kl(other, 0).backward()  # type: ignore[no-untyped-call]
    assert other.unembedding.weight.grad is not None
    assert float(other.unembedding.weight.grad.abs().sum()) > 0
    assert all(weight.grad is None for weight in taught.decoder.parameters())


def test_without_any_target_nothing_has_moved() -> None:
    taught = pupil("a b c")
    tokens, targets, documents = side_by_side([[3, 2]], pad_id=0)
    nothing = Rehearsal("file", (tokens, np.full_like(targets, -1), documents), None)
    reminders = Reminders(taught.decoder, nothing, count=1, seed=0)
    assert reminders.kl(noisy(taught.config, seed=6), 0).item() == 0.0


def test_a_file_of_dialogues(tmp_path: Path) -> None:
    path = write_dialogues(tmp_path / "a.jsonl", count=40)
    taught = pupil(path.read_text())
    found = find_rehearsal(taught, file=path)
    rows = found.n_known + found.n_held_out
    assert found.n_held_out == rows // 4 > 2
    assert found.told() == f"{found.n_known} sequences from {path}, {found.n_held_out} held out"
    assert found.known[0].shape[1] <= 19
    both = [found.known, found.held_out]
    ends = sum(int((batch[1] == taught.tokenizer.end_id).sum()) for batch in both if batch)
    assert ends == 80  # of every prompt and of every reply
    again = find_rehearsal(taught, file=path, seed=1)
    assert not np.array_equal(again.known[0], found.known[0])


def test_a_file_of_text_even_a_very_short_one(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt")
    taught = pupil(path.read_text())
    found = find_rehearsal(taught, file=path)
    assert found.known[0].shape[1] == 19
    assert found.known[2] is None
    (tmp_path / "b.txt").write_text("the cat")  # and the end token: one window of 2
    small = find_rehearsal(taught, file=tmp_path / "b.txt")
    assert small.known[1].shape == (1, 2)
    assert small.held_out is None
    assert small.told() == f"1 sequence from {tmp_path / 'b.txt'}, none held out"


def test_the_most_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_text(tmp_path / "a.txt")
    taught = pupil(path.read_text())
    monkeypatch.setattr(rehearsal, "MOST_SEQUENCES", 11)
    found = find_rehearsal(taught, file=path)
    assert (found.n_known, found.n_held_out) == (9, 2)
    monkeypatch.setattr(rehearsal, "MOST_TOKENS", 5 * 19)
    found = find_rehearsal(taught, file=path)
    assert (found.n_known, found.n_held_out) == (4, 1)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError):
        find_rehearsal(pupil("a b"), file=tmp_path / "a.txt")


def test_the_folder_s_own_sample_cut_to_the_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught = pupil("a b c d e f", context=3)
    taught.folder = tmp_path
    known, held_out = packed([(7, 3, 5, 2, 6)], [(4, 3)]), packed([(5, 4)])
    monkeypatch.setattr(rehearsal, "read_reservoir", lambda *_, **__: Reservoir(known, held_out))
    found = find_rehearsal(taught)
    assert found.known[0].tolist() == [[7, 3, 5], [4, 3, 0]]
    assert found.known[1].tolist() == [[3, 5, 2], [3, -1, -1]]
    assert found.told() == "2 sequences of its training data, 1 held out"


def test_without_data_the_model_itself_speaks(tmp_path: Path) -> None:
    taught = pupil("a b c d e f g")
    taught.folder = tmp_path  # which holds no sample
    found, again = find_rehearsal(taught), find_rehearsal(taught)
    assert (found.n_known, found.n_held_out) == (48, 16)
    assert found.told().startswith("64 sequences that the model itself said, as its folder keeps")
    assert np.array_equal(found.known[0], again.known[0])
    assert not np.array_equal(find_rehearsal(taught, seed=1).known[0], found.known[0])
    end = taught.tokenizer.end_id
    tokens, targets, documents = found.known
    assert documents is not None
    assert (tokens[:, 0] == end).all()
    assert len({tuple(row) for row in targets.tolist()}) > 24  # not the same all over
    ended = 0
    for row, lengths in zip(targets, (documents == 0).sum(axis=1).tolist(), strict=True):
        assert (row[: lengths - 1] != end).all() and (row[:lengths] >= 0).all()
        ended += int(row[lengths - 1] == end)
        assert row[lengths - 1] == end or lengths == 19  # the context
    assert ended > 0


def test_what_the_model_says_follows_its_own_probabilities() -> None:
    taught = pupil("a b c d e f g")
    with torch.no_grad():
        taught.decoder.unembedding.weight.zero_()
    found = find_rehearsal(taught, seed=3)  # every token is as likely: 1 in V ends
    first = found.known[1][:, 0]
    counts = np.bincount(first, minlength=taught.config.vocab_size)
    assert (counts > 0).sum() >= taught.config.vocab_size - 2


def test_a_damaged_model_says_nothing() -> None:
    taught = pupil("a b c")
    with torch.no_grad():
        taught.decoder.unembedding.weight.fill_(float("nan"))
    with pytest.raises(LossError):
        find_rehearsal(taught)

"""From files to samples: tokenizer, what is held out, and how long a sequence is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.small_runs import write_dialogues, write_text

from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.data.records import readers
from nextword.data.samples.datasets import Windows
from nextword.data.samples.packed_dialogues import Rows
from nextword.errors import ConfigError, DataError, TokenizerError
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.training.data.held_out import SPLIT_RULE
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.request import TrainRequest


def prepared(path: Path, *, split_rule: int = SPLIT_RULE, **settings: Any) -> Prepared:
    request = TrainRequest(
        data=(str(path),), out=path.parent / "out", **{"tokenizer": "words", **settings}
    )
    corpus = open_corpus(request.data)
    tokenizer = find_tokenizer(request, corpus)
    folder = request.out / "training"
    return prepare_data(request, corpus, tokenizer, folder, warn=print, split_rule=split_rule)


def test_data_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": "a", "reply": "b", "weight": 0}\n')
    with pytest.raises(DataError, match=r"holds no document \(read a.jsonl: .*its weight is 0"):
        prepared(path)


def places(data: Prepared) -> list[set[int]]:
    """The places of the tokens to train on, and of those held out."""
    assert data.held_out is not None
    parts = [data.train, data.held_out[1]]
    return [
        {at for begin, end in part.spans.tolist() for at in range(begin, end)} for part in parts
    ]


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("kind", ["dialogues", "few dialogues", "text"])
def test_what_is_held_out_is_never_trained_on(kind: str, seed: int, tmp_path: Path) -> None:
    if kind == "text":
        path = write_text(tmp_path / "a.txt")
    else:
        path = write_dialogues(tmp_path / "a.jsonl", count=40 if kind == "dialogues" else 7)
    settings: dict[str, Any] = {"aim": "generalize", "training": {"seed": seed}}
    data = prepared(path, held_out=0.2, context=16, **settings)
    train, held_out = places(data)
    assert train and held_out and not train & held_out
    assert len(train) + len(held_out) == data.shards.n_tokens
    samples = data.samples(seed=seed, learn="everything")
    judged = data.held_out_samples(learn="everything")
    assert judged is not None and type(judged) is (Windows if kind == "text" else Rows)
    for part, stream, epochs in ((train, samples, 3), (held_out, judged, 1)):
        available = set(data.shards.take(np.array(sorted(part))).tolist())
        for epoch in range(epochs):
            tokens, targets, _ = stream.batch(0, stream.n_samples(epoch))
            assert set(targets[targets >= 0].tolist()) <= available
            assert set(tokens.ravel().tolist()) <= available | {data.tokenizer.pad_id}


def test_held_out_data_can_be_a_file_of_its_own(tmp_path: Path) -> None:
    other = write_dialogues(tmp_path / "b.jsonl", count=3)
    data = prepared(write_dialogues(tmp_path / "a.jsonl"), held_out=str(other))
    assert data.train.n_documents == 40
    assert data.held_out is not None and data.held_out[1].n_documents == 3
    with pytest.raises(DataError, match="both must be of one kind"):
        text = str(write_text(tmp_path / "c.txt"))
        prepared(tmp_path / "a.jsonl", held_out=text, tokenizer="bpe")


def test_nothing_is_held_out_for_share_0(tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "a.jsonl", count=2), held_out=0.0)
    assert data.held_out is None
    assert data.held_out_samples(learn="everything") is None
    assert data.train.n_documents == 2


def test_only_replies_are_learned_when_asked(tmp_path: Path) -> None:
    data = prepared(write_dialogues(tmp_path / "a.jsonl"), held_out=0.0)
    shards = data.shards
    everything = data.samples(seed=0, learn="everything").batch(0, 3)
    tokens, targets, _ = data.samples(seed=0, learn="replies").batch(0, 3)
    np.testing.assert_array_equal(tokens, everything[0])
    assert ((targets == everything[1]) | (targets == -1)).all()
    all_replies = shards.replies(0, shards.n_tokens).sum()
    samples = data.samples(seed=0, learn="replies")
    learned = (samples.batch(0, samples.n_samples(0))[1] >= 0).sum()
    assert learned == all_replies  # each reply token once, end tokens included
    with pytest.raises(ConfigError, match="windows of text have no replies"):
        prepared(write_text(tmp_path / "a.txt")).samples(seed=0, learn="replies")


def test_the_context_holds_all_dialogues_that_are_to_be_answered(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = ['{"prompt": "%s", "reply": "b"}\n' % ("a " * n) for n in [20] * 400 + [200]]
    path.write_text("".join(lines))
    assert prepared(path).context == 256  # one of 401 is longer than 128 tokens
    assert prepared(path, aim="generalize").context == 128  # which holds 99.5 % of them
    path.write_text('{"prompt": "%s", "reply": "b"}\n' % ("a " * 2000))
    assert prepared(path).context == 2048  # the most
    assert prepared(path, split_rule=2).context == 1024  # as it was then


def test_the_context_follows_the_data(tmp_path: Path) -> None:
    assert prepared(write_dialogues(tmp_path / "a.jsonl")).context == 128  # the least for dialogues
    (tmp_path / "long.jsonl").write_text('{"prompt": "%s", "reply": "b"}\n' % ("a " * 200) * 30)
    assert prepared(tmp_path / "long.jsonl").context == 256
    assert prepared(write_text(tmp_path / "a.txt", 2000), held_out=0.1).context == 256
    small = prepared(write_text(tmp_path / "b.txt", 120), held_out=0.1)
    assert small.context == 16
    assert prepared(tmp_path / "a.txt", context=19).context == 19


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_context_leaves_room_in_the_smaller_part(share: float, tmp_path: Path) -> None:
    data = prepared(write_text(tmp_path / "a.txt", 300), held_out=share)
    smaller = min(map(len, places(data)))
    assert data.context == 16 or smaller >= 2 * data.context - 1


def test_a_tokenizer_is_learned_or_read(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt")
    made = prepared(path).tokenizer
    made.write(tmp_path)
    assert prepared(path, tokenizer=str(tmp_path)).tokenizer.fingerprint == made.fingerprint
    assert prepared(path, tokenizer="characters").tokenizer.kind == "characters"
    with pytest.raises(TokenizerError, match="'wrods' is not one of"):
        prepared(path, tokenizer="wrods")


def test_words_at_the_beginning_of_a_piece_are_learned_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "PIECE", 300)
    monkeypatch.setattr(readers, "_BLOCK", 100)
    text = "".join(f"Line{number} is here\n" for number in range(200))
    path = tmp_path / "a.txt"
    path.write_text(text)
    assert len(list(open_corpus([path]).pieces())) > 10
    request = TrainRequest(data=(str(path),), out=tmp_path / "out", tokenizer="words")
    found = find_tokenizer(request, open_corpus([path]))
    assert found.fingerprint == Tokenizer.learn([text], kind="words").fingerprint
    assert found.decode(found.encode(text)) == text

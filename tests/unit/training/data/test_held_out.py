"""What is held out of a run's data, and what people are told of it before training."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nextword.config import ModelConfig
from nextword.data.corpus import open_corpus
from nextword.data.prepared import Prepared
from nextword.data.samples.long_dialogues import CutCounts
from nextword.data.samples.split_by_content import Overlap
from nextword.presets import preset
from nextword.training.data.context_length import cut_line
from nextword.training.data.data_summary import data_facts, first_excerpt, shortened
from nextword.training.data.prepare import find_tokenizer, prepare_data
from nextword.training.request import TrainRequest

Pair = tuple[str, str]


def write_pairs(path: Path, pairs: Sequence[Pair]) -> Path:
    lines = [json.dumps({"prompt": prompt, "reply": reply}) for prompt, reply in pairs]
    path.write_text("\n".join(lines) + "\n")
    return path


def prepared(
    path: Path, *, split_rule: int = 3, model: ModelConfig | None = None, **settings: Any
) -> tuple[Prepared, list[str]]:
    """The data, and what was said while they were prepared."""
    request = TrainRequest(
        data=(str(path),), out=path.parent / "out", **{"tokenizer": "words", **settings}
    )
    corpus, notes = open_corpus(request.data), list[str]()
    data = prepare_data(
        request,
        corpus,
        find_tokenizer(request, corpus),
        request.out / "training",
        warn=notes.append,
        split_rule=split_rule,
        model=model,
    )
    return data, [note for note in notes if "nothing was left out" not in note]


def facts_of(data: Prepared) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    latest = ""
    for name, value in data_facts(data, data.samples(seed=0, learn="everything")):
        latest = name or latest
        found.setdefault(latest, []).append(value)
    return found


SAME = [("where is the kite?", "in the oak")] * 40
DIFFERENT = [(f"what is word {n}", f"reply number {n}") for n in range(40)]


def test_of_equal_dialogues_nothing_is_held_out_and_that_is_said(tmp_path: Path) -> None:
    data, notes = prepared(write_pairs(tmp_path / "a.jsonl", SAME), aim="generalize")
    assert (data.held_out, data.overlap, data.duplicates) == (None, None, 39)
    (note,) = notes
    assert note.startswith("nothing can be held out: the 40 documents have too few different")
    facts = facts_of(data)
    assert facts["duplicates"] == ["39 dialogues equal ones before"]
    assert facts["held out"] == ["nothing"]


def test_no_prompt_and_no_reply_stands_on_both_sides(tmp_path: Path) -> None:
    data, notes = prepared(write_pairs(tmp_path / "a.jsonl", DIFFERENT), aim="generalize")
    assert data.overlap == Overlap(n_documents=4)
    assert not notes
    assert facts_of(data)["held out"][0].endswith("; in training too: none of it")


def test_replies_that_both_sides_have_are_counted_and_said(tmp_path: Path) -> None:
    pairs = [(prompt, "yes" if n % 2 else "no") for n, (prompt, _) in enumerate(DIFFERENT)]
    data, notes = prepared(write_pairs(tmp_path / "a.jsonl", pairs), aim="generalize")
    assert data.overlap == Overlap(n_documents=4, replies=4)
    (note,) = notes
    assert note.startswith("4 of 4 held-out dialogues have replies that stand in training after")
    assert facts_of(data)["held out"][0].endswith("; in training too: 4 replies")


def test_other_phrasings_are_told_as_that(tmp_path: Path) -> None:
    pairs = [(f"{form} {n}", f"reply {n}") for n in range(15) for form in ("what is", "tell me")]
    data, notes = prepared(write_pairs(tmp_path / "a.jsonl", pairs))
    assert data.aim == "answers"
    assert data.overlap == Overlap(n_documents=3, replies=3)
    assert not notes
    assert facts_of(data)["held out"][0].endswith(
        ": other phrasings of prompts whose replies are learned"
    )
    data, _ = prepared(write_pairs(tmp_path / "a.jsonl", DIFFERENT))
    assert facts_of(data)["held out"] == ["nothing: no reply stands after different prompts"]
    data, _ = prepared(tmp_path / "a.jsonl", held_out=0.0)
    assert facts_of(data)["held out"] == ["nothing"]


def test_a_file_to_evaluate_on_is_compared_with_what_is_learned(tmp_path: Path) -> None:
    other = write_pairs(
        tmp_path / "b.jsonl",
        [DIFFERENT[0], ("What is word 1?", "another"), ("something new", DIFFERENT[2][1])],
    )
    path = write_pairs(tmp_path / "a.jsonl", DIFFERENT)
    data, notes = prepared(path, held_out=str(other), aim="generalize", tokenizer="bpe")
    assert data.overlap == Overlap(n_documents=3, documents=1, prompts=2, replies=2)
    assert [note.split(" held-out ")[0] for note in notes] == ["1 of 3"] * 3
    line = facts_of(data)["held out"][0]
    assert line.startswith("3 dialogues of b.jsonl, ")
    assert line.endswith("; in training too: 2 prompts and 2 replies")


def test_a_few_texts_that_stand_twice_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    text = " ".join(f"word{n}" for n in range(40))
    path.write_text(f"{json.dumps({'text': text})}\n" * 5)
    data, notes = prepared(path, context=8)
    assert data.overlap == Overlap(n_documents=1, documents=1, prompts=1, replies=1)
    assert "1 of 1 held-out texts also stand in training" in notes[0]


@pytest.mark.parametrize("rule", [1, 2])
def test_runs_begun_with_an_earlier_rule_keep_it(rule: int, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.jsonl", SAME)
    data, notes = prepared(path, aim="generalize", split_rule=rule)
    assert data.held_out is not None
    assert data.overlap is not None and data.overlap.documents == data.overlap.n_documents > 0
    assert "also stand in training; their scores measure what was memorized" in notes[0]


def test_what_is_longer_than_the_context_is_said_before_training(tmp_path: Path) -> None:
    long = [(f"a b c d e f g h i j k l m n o p q r {n}", f"reply {n}") for n in range(30)]
    path = write_pairs(tmp_path / "a.jsonl", long)
    data, notes = prepared(path, context=16, held_out=0.0)
    assert data.cut.dialogues == data.cut.prompts == 30
    assert notes == [
        "longer than the context of 16 tokens: 30 of 30 dialogues, which are cut; 30 prompts lose "
        "their beginning. --context 32 holds all of them whole"
    ]
    data, notes = prepared(path, held_out=0.0)
    assert (data.context, data.cut.dialogues, notes) == (128, 0, [])


def test_a_model_that_goes_on_learning_cannot_have_a_longer_context() -> None:
    cut = CutCounts(dialogues=1, prompts=1, turns=1, replies=2, longest=100)
    assert cut_line(cut, 7, context=64, model=None).endswith(
        "1 of 7 dialogues, which are cut; 1 prompt loses its beginning, 1 reply does not see the "
        "oldest turns, 2 replies are divided. --context 128 holds all of them whole"
    )
    earlier = CutCounts(dialogues=2, longest=100)
    assert " 2 of 7 dialogues, which are cut every 64 tokens. --context" in cut_line(
        earlier, 7, context=64, model=None
    )
    model = preset("qwen3", vocab_size=10, context_length=64, depth=1)
    assert cut_line(cut, 7, context=64, model=model).endswith(
        ". The model's own context holds no more than 64"
    )


def test_the_first_pair_is_shown_as_it_is_learned(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.jsonl", DIFFERENT)
    data, _ = prepared(path, held_out=0.0)
    samples = data.samples(seed=0, learn="replies")
    found = first_excerpt(data, samples)
    assert (found.prompt, found.reply) in [
        (f"{prompt}<|end|>", f"{reply}<|end|>") for prompt, reply in DIFFERENT
    ]
    assert not found.is_cut
    assert facts_of(data)["first pair"] == [found.prompt, f"→ {found.reply}"]
    shown = data.tokenizer.decode(samples.batch(0, 1)[0][0].tolist(), keep_special=True)
    assert shown.startswith(f"{found.prompt}{found.reply}".replace("<|end|>reply", "<|end|> reply"))


def test_a_cut_prompt_is_shown_as_cut(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "a.jsonl", [("a b c d e f g h i j k l m", "x y")] * 2)
    data, _ = prepared(path, context=8, held_out=0.0)
    found = first_excerpt(data, data.samples(seed=0, learn="replies"))
    assert found.is_cut
    assert found.prompt is not None and found.prompt.endswith("l m<|end|>")
    assert "a" not in found.prompt
    facts = dict(data_facts(data, data.samples(seed=0, learn="replies")))
    assert facts["first pair"].startswith("… ")


def test_the_first_text_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a cat sat on the mat\n" * 300)
    data, _ = prepared(path, tokenizer="bpe", context=16, held_out=0.0)
    (text,) = facts_of(data)["first text"]
    assert "cat sat on the mat↵" in text


def test_long_texts_are_shown_by_their_first_and_last_words() -> None:
    line = " ".join(f"word{n}" for n in range(99))
    assert shortened(line).startswith("word0 word1 ") and shortened(line).endswith(" word97 word98")
    assert " … " in shortened(line) and len(shortened(line)) <= 72
    assert len(shortened("x" * 500)) <= 72
    assert shortened(" short\n") == "short"

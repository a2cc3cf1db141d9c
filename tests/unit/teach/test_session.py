"""A lesson from beginning to end, and its report."""

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.teach.pupils import pupil

from nextword.errors import ConfigError, DataError, RunError
from nextword.language_model import LanguageModel
from nextword.teach.edit.weight_delta import Apprentice
from nextword.teach.journal import persist
from nextword.teach.lesson import Lesson

PAIR = ("who is she", "my sister .")
QUICK: dict[str, Any] = {"learning_rate": 0.1, "rehearsal_weight": 1.0, "largest_kl": 9.0}


def bits(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: weight.clone() for name, weight in model.decoder.state_dict().items()}


def same(before: dict[str, torch.Tensor], model: LanguageModel) -> bool:
    now = model.decoder.state_dict()
    return all(torch.equal(weight, now[name]) for name, weight in before.items())


def n_lessons(model: LanguageModel) -> int:
    return 0 if model.history is None else len(model.history.lessons)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_lesson_is_learned_reported_and_undone(dtype: torch.dtype) -> None:
    model = pupil(dtype=dtype)
    before, version = bits(model), model.version
    was = model.verdicts(PAIR)[3:7]
    lesson = model.teach([PAIR], phrasings=["who is the cat"], **QUICK)
    assert (lesson.learned, lesson.outcome, lesson.reliability) == (True, "learned", 1.0)
    assert model.reply("who is she").text == "my sister ."
    assert (lesson.version_before, lesson.version_after) == (version, model.version)
    now = model.verdicts(PAIR)[3:7]
    taught, phrasing = lesson.sentences
    for place, old, new in zip(taught.positions, was, now, strict=True):
        assert old.actual is not None and new.actual is not None
        assert place.before.probability == old.actual.probability
        assert place.after.probability == new.actual.probability >= 0.5
        assert (place.token, place.before.rank) == (old.actual.token, old.rank)
    assert (taught.right_before, taught.right_after) == (False, True)
    assert taught.reply_after == "my sister ."
    right = [place.after.right for place in phrasing.positions]
    assert lesson.generality == sum(right) / 4
    assert (lesson.curve[0].step, lesson.curve[-1].step) == (0, lesson.steps)
    assert {item.name for item in lesson.changes} <= set(before)
    assert lesson.account is not None
    assert lesson.account.before_logit < 0 < lesson.account.after_logit
    assert Lesson.from_json(json.loads(json.dumps(lesson.as_json()))) == lesson
    lesson.undo()
    assert same(before, model)
    assert model.version == version


def test_a_lesson_that_is_over_holds_no_copy_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[weakref.ref[Apprentice]] = []
    begin = Apprentice.__init__

    def noted(self: Apprentice, *given: Any, **settings: Any) -> None:
        copies.append(weakref.ref(self))
        begin(self, *given, **settings)

    monkeypatch.setattr(Apprentice, "__init__", noted)
    gc.disable()  # it may not come for long: there are few objects, and they are large
    try:
        lesson = pupil().teach([PAIR], **QUICK)
        assert lesson.learned
        assert [copy() for copy in copies] == [None]
    finally:
        gc.enable()


def test_a_lesson_that_is_not_learned_leaves_every_bit() -> None:
    model = pupil()
    before = bits(model)
    lesson = model.teach([PAIR], steps=2, learning_rate=1e-6)
    assert (lesson.learned, lesson.outcome, lesson.steps) == (False, "steps", 2)
    assert "the weights are as they were" in lesson.why
    assert same(before, model)
    assert (lesson.known.share, lesson.changes) == (1.0, ())
    assert lesson.version_after == lesson.version_before
    with pytest.raises(ConfigError, match="not learned"):
        lesson.undo()


def test_nothing_is_written_before_it_is_settled() -> None:
    model = pupil()
    before = bits(model)
    teaching = model.teaching([PAIR], **QUICK)
    assert teaching.before[0].positions[0].after == teaching.before[0].positions[0].before
    with pytest.raises(ConfigError, match="not over"):
        teaching.judge()
    for _ in teaching.steps():
        assert same(before, model)
    lesson = teaching.judge()
    assert same(before, model) and lesson is teaching.judge()
    teaching.settle()
    assert model.version == lesson.version_after != lesson.version_before


def test_a_lesson_does_not_write_over_other_weights() -> None:
    model = pupil()
    teaching = model.teaching([PAIR], **QUICK)
    list(teaching.steps())
    with torch.no_grad():
        model.decoder.unembedding.weight[0, 0] += 1
    with pytest.raises(ConfigError, match="no longer those that this lesson began with"):
        teaching.settle()


def test_lessons_are_undone_from_the_last_one_on() -> None:
    model = pupil()
    before = bits(model)
    first = model.teach([PAIR], **QUICK)
    second = model.teach([("the cat", "sat .")], **QUICK)
    assert second.learned
    assert n_lessons(model) == 2
    with pytest.raises(ConfigError, match="a later lesson stands on this one"):
        first.undo()
    second.undo()
    assert n_lessons(model) == 1
    first.undo()
    assert same(before, model)
    with pytest.raises(ConfigError, match="undone already"):
        first.undo()


def test_a_lesson_taught_anew_takes_the_place_of_the_earlier_one() -> None:
    model = pupil()
    model.teach([PAIR], **QUICK)
    lesson = model.teach([(PAIR[0], "the cat")], **QUICK)
    assert lesson.learned
    assert model.history is not None
    assert [item.reply for item in model.history.lessons] == ["the cat"]


def test_of_a_model_in_memory_nothing_is_kept_or_read_again() -> None:
    model = pupil()
    lesson = model.teach([PAIR], **QUICK)
    for refused in (lesson.keep, model.reload, lambda: model.teach([PAIR], keep=True)):
        with pytest.raises(ConfigError, match="only in memory"):
            refused()


@pytest.mark.parametrize("pair", ["abc", ("a",), ("a", 5), (5, "a"), None, ([], "cat")])
def test_what_is_no_pair_is_refused(pair: Any) -> None:
    with pytest.raises(DataError, match="is no prompt with its reply"):
        pupil().teach([pair])


def test_one_text_is_no_list_of_phrasings() -> None:
    with pytest.raises(ConfigError, match="phrasings is one text"):
        pupil().teach([PAIR], phrasings="who is the cat")


def test_a_lesson_that_cannot_be_kept_leaves_the_old_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = pupil()
    model.save(tmp_path / "model")
    before, full = bits(model), OSError(28, "No space left on device")

    def fail(*_: Any) -> str:
        raise full

    monkeypatch.setattr(persist, "_write_change", fail)
    with pytest.raises(RunError, match="the disk is full"):
        model.teach([PAIR], keep=True, **QUICK)
    assert same(before, model)
    assert n_lessons(model) == 0
    assert same(before, LanguageModel.load(tmp_path / "model"))


def test_impossible_lessons() -> None:
    model = pupil()
    with pytest.raises(ConfigError, match="nothing to teach"):
        model.teach([])
    with pytest.raises(DataError, match="contradict"):
        model.teach([PAIR, (PAIR[0], "the cat")])
    with model.edit({}), pytest.raises(ConfigError, match="inside an edit"):
        model.teach([PAIR])
    teaching = model.teaching([PAIR])
    with pytest.raises(ConfigError, match="both config and margin"):
        model.teaching([PAIR], config=teaching._config, margin=0.3)
    with pytest.raises(ConfigError, match="Did you mean 'margin'"):
        model.teach([PAIR], margni=0.3)
    read = Lesson.from_json(pupil().teach([PAIR], steps=1).as_json())
    with pytest.raises(ConfigError, match="read from a file"):
        read.undo()

"""Teaching over HTTP, with real lessons: what is told, kept and undone is what the model does."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from starlette.applications import Starlette
from tests.unit.serve.calls import Browser, Reply, call, post
from tests.unit.serve.models import SENTENCE, article, talker

from nextword.language_model import LanguageModel
from nextword.serve import lesson_session as module
from nextword.serve.app import make_app
from nextword.serve.responses import exact
from nextword.serve.routes import routes_teach as routes
from nextword.serve.routes.routes_teach import MOST_TOKENS
from nextword.teach.config import RATES, TeachingConfig
from nextword.teach.journal.undo import undo
from nextword.teach.lesson import TeachingStep

PAIR = ("the cat", "sat")
CONFIG: dict[str, Any] = {"largest_kl": 9.0, "judged_tokens": 211, "margin": 0.2}
BODY = {"pairs": [list(PAIR)], "config": CONFIG}
SECONDS = {"seconds", "judging_seconds", "curve"}  # fields that no two lessons share


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, with a sample of what it might have learned from."""
    talker().save(tmp_path / "talker")
    return with_sample(tmp_path / "talker")


def with_sample(folder: Path) -> Path:
    (folder / "training").mkdir()
    tokens = np.arange(7 * 43, dtype=np.int32).reshape(7, 43) % 251 + 3
    documents = np.repeat([[0, 1, -1]], [31, 11, 1], axis=1).repeat(7, axis=0).astype(np.int32)
    targets = np.where(documents < 0, -1, np.roll(tokens, -1, axis=1)).astype(np.int32)
    known = {"tokens": tokens, "targets": targets, "documents": documents}
    held_out = {f"held_out.{name}": item[:3] + 0 for name, item in known.items()}
    save_file(known | held_out, folder / "training" / "rehearsal.safetensors")
    return folder


def lines(reply: Reply) -> list[dict[str, Any]]:

    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    return [json.loads(line) for line in reply.body.splitlines()]


def taught(app: Starlette, **body: Any) -> dict[str, Any]:
    """The last event of a lesson."""
    return lines(post(app, "/api/teach", BODY | body))[-1]


def listed(app: Starlette) -> Any:
    return call(app, "GET", "/api/lessons").json


def logits(app: Starlette, ids: list[int]) -> Reply:
    return post(app, "/api/see/ends", {"ids": ids, "position": len(ids) - 1})


def test_every_number_is_that_of_the_same_lesson_in_python(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    twin, steps = LanguageModel.load(folder), list[TeachingStep]()
    lesson = twin.teach([PAIR], phrasings=["a cat"], on_step=steps.append, **CONFIG)
    lm = LanguageModel.load(folder)
    old = lm.version
    reply = post(make_app(lm), "/api/teach", BODY | {"phrasings": ["a cat"]})
    started, *told, done = lines(reply)
    assert reply.headers["nextword-version"] == started["version"] == old == lesson.version_before
    assert (done["event"], done["version"]) == ("done", lesson.version_after)
    assert lm.version == twin.version == lesson.version_after != old
    assert (started["scope"], started["n_taught"]) == (lesson.scope, lesson.n_taught)
    assert (started["max_steps"], started["max_seconds"]) == (200, 60)
    assert started["rehearsal"] == lesson.rehearsal
    assert [item["role"] for item in started["sentences"]] == ["taught", "phrasing"]
    assert len(told) == len(steps) > 1
    for event, step in zip(told, steps, strict=True):
        made = {"event": "step"} | exact(dataclasses.replace(step, seconds=event["seconds"]))
        assert event == made
    wanted = exact(lesson.as_json())
    assert set(wanted) == set(done["lesson"])
    for name in set(wanted) - SECONDS:
        assert done["lesson"][name] == wanted[name], name
    assert lm.verdicts(list(PAIR)).n_right > talker().verdicts(list(PAIR)).n_right


def test_an_undo_gives_the_same_bytes(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    app, ids = make_app(lm), lm.ids(SENTENCE)
    before = logits(app, ids)
    done = taught(app)
    during = logits(app, ids)
    assert during.headers["nextword-version"] == done["version"]
    assert during.body != before.body
    assert listed(app)["unkept"] == done["lesson"]
    assert post(app, "/api/teach/undo", {"version": done["version"]}).status == 200
    after = logits(app, ids)
    assert (after.body, after.headers) == (before.body, before.headers)
    assert (listed(app)["unkept"], listed(app)["state"]) == (None, "none")


def test_one_word_of_a_sentence(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    ids = lm.ids(SENTENCE)[:4]
    wrong = lm.verdicts([SENTENCE])[3].predicted.token_id
    right = 17 if wrong != 17 else 19
    done = taught(make_app(lm), pairs=None, ids=ids, right=right)
    (sentence,) = done["lesson"]["sentences"]
    assert (sentence["ids"], sentence["prompt"], sentence["right_after"]) == (
        [*ids, right],
        [],
        True,
    )
    assert lm.verdicts([SENTENCE])[3].predicted.token_id == right


def test_what_is_said_already_changes_nothing(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    app = make_app(lm)
    taught(app)
    post(app, "/api/teach/keep", {})
    done = taught(app)
    assert (done["event"], done["lesson"]["outcome"]) == ("done", "already")
    assert done["version"] == lm.version
    assert listed(app)["unkept"] is None


def test_what_is_not_learned_leaves_the_weights(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    old, app = lm.version, make_app(lm)
    last = taught(app, config={"steps": 1, "margin": 0.99})
    assert (last["event"], last["version"]) == ("not_learned", old)
    assert (last["lesson"]["outcome"], last["lesson"]["learned"]) == ("steps", False)
    assert lm.version == LanguageModel.load(folder).version == old
    assert taught(app)["event"] == "done"


def test_a_kept_lesson_is_in_the_folder_and_can_be_undone(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    old, app = lm.version, make_app(lm)
    first = taught(app)
    kept = post(app, "/api/teach/keep", {})
    assert kept.headers["nextword-version"] == kept.json["version"] == first["version"]
    assert kept.json["lesson"] == first["lesson"] | {"number": 1}
    assert LanguageModel.load(folder).version == lm.version == first["version"]
    second = taught(app, pairs=[["a", "mat"]])
    post(app, "/api/teach/keep", {})
    found = listed(app)
    assert (found["state"], found["changed"], found["folder"]) == ("whole", False, True)
    assert [item["number"] for item in found["items"]] == [1, 2]
    item, lesson = found["items"][0], first["lesson"]
    assert (item["prompt"], item["reply"], item["status"]) == ([PAIR[0]], PAIR[1], "kept")
    assert (item["reliability"], item["generality"]) == (1, None)
    assert (item["locality"], item["seconds"]) == (lesson["known"]["share"], lesson["seconds"])
    undone = post(app, "/api/lessons/undo", {"numbers": [1]}).json
    assert [item["status"] for item in undone["items"]] == ["undone", "kept"]
    assert undone["version"] == lm.version == LanguageModel.load(folder).version
    assert undone["version"] not in (old, first["version"], second["version"])
    assert undone["no_longer"] == listed(app)["no_longer"]
    assert post(app, "/api/lessons/undo", {"numbers": [7]}).error["code"] == "not_kept"
    assert post(app, "/api/lessons/undo", {}).json["version"] == lm.version == old
    assert listed(app)["changed"] is False
    assert taught(app)["event"] == "done"  # nobody holds the folder


def test_a_terminal_that_changes_the_folder_is_noticed(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    old, app = lm.version, make_app(lm)
    new = taught(app)["version"]
    post(app, "/api/teach/keep", {})
    undo(folder, None)  # as `nextword lessons FOLDER --undo-all` does
    assert listed(app)["changed"] is True
    for path, body in (("/api/teach", BODY), ("/api/lessons/undo", {})):
        reply = post(app, path, body)
        assert (reply.status, reply.error["code"]) == (409, "folder_changed")
    read = post(app, "/api/read", {"turns": ["the cat"]})
    assert read.json["version"] == read.headers["nextword-version"] == new  # and it says so
    card = post(app, "/api/reload", {})
    assert card.json["version"] == card.headers["nextword-version"] == lm.version == old
    assert listed(app)["changed"] is False
    assert taught(app)["event"] == "done"


def test_no_answer_mixes_two_versions(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    ids = lm.ids(SENTENCE)
    seen: dict[str, set[bytes]] = {}

    def note(reply: Reply) -> None:
        assert reply.status == 200
        seen.setdefault(reply.headers["nextword-version"], set()).add(reply.body)

    with Browser(make_app(lm)) as browser:
        for _ in range(2):
            lesson = browser.begin("/api/teach", BODY)
            waiting = []
            while not lesson.done.done():
                asked = {"ids": ids, "position": 3}
                waiting = [browser.begin("/api/see/next", asked) for _ in range(5)]
                for answer in waiting:
                    note(answer.done.result(20))
            new = lesson.rest()[-1]["version"]
            note(browser.post("/api/see/next", {"ids": ids, "position": 3}))
            undone = browser.begin("/api/teach/undo", {})
            for _ in range(5):
                note(browser.post("/api/see/next", {"ids": ids, "position": 3}))
            assert undone.done.result(20).status == 200
    assert set(seen) == {LanguageModel.load(folder).version, new}
    assert [len(bodies) for bodies in seen.values()] == [1, 1]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad_request"),
        ({"pairs": [["a", "b"]], "ids": [1], "right": 2}, 400, "bad_request"),
        ({"ids": [1]}, 400, "bad_request"),
        ({"ids": [], "right": 1}, 422, "bad_text"),
        ({"ids": [270], "right": 1}, 422, "bad_setting"),
        ({"ids": [1], "right": 270}, 422, "bad_setting"),
        ({"ids": [1], "right": True}, 400, "bad_request"),
        ({"pairs": []}, 422, "bad_setting"),
        ({"pairs": [["a"]]}, 422, "bad_text"),
        ({"pairs": [["a", ""]]}, 422, "bad_text"),
        ({"pairs": [["a", 1]]}, 400, "bad_request"),
        ({"pairs": [["a", "b"], ["a", "c"]]}, 422, "bad_text"),
        ({"pairs": [["a" * 99, "b" * 99]]}, 422, "context_length"),
        ({"pairs": [["a", "b"]], "config": {"margin": 1}}, 422, "bad_setting"),
        ({"pairs": [["a", "b"]], "config": {"steps": "7"}}, 422, "bad_setting"),
        ({"pairs": [["a", "b"]], "version": "0"}, 409, "version_changed"),
    ],
)
def test_what_cannot_be_taught(body: dict[str, Any], status: int, code: str) -> None:
    app = make_app(talker())
    reply = post(app, "/api/teach", body)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert listed(app)["teaching"] is False


def test_the_other_sentences_are_held_out_ones(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    app = make_app(lm)
    found = call(app, "GET", "/api/teach/others").json
    assert found["version"] == lm.version
    assert [item["ids"] for item in found["sentences"]] == [
        [(first + place) % 251 + 3 for place in range(31)] for first in (0, 43, 86)
    ]
    for item in found["sentences"]:
        assert item["text"] == lm.tokenizer.decode(item["ids"])
    assert call(app, "GET", "/api/teach/others").json == found


@pytest.mark.parametrize(
    ("n_tokens", "ends", "cut", "known_whole"),
    [
        (3, True, False, False),
        (3, False, True, False),  # the document goes on after the sequence
        (MOST_TOKENS, True, False, False),
        (MOST_TOKENS + 1, True, True, True),
    ],
)
def test_an_other_sentence_that_is_cut_says_so(
    n_tokens: int,
    ends: bool,
    cut: bool,
    known_whole: bool,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
) -> None:
    lm = LanguageModel.load(folder)
    tokens = [5] * (n_tokens - 1) + [lm.tokenizer.end_id if ends else 6]
    sample = SimpleNamespace(known=(np.array([tokens]), None, None), held_out=None)
    monkeypatch.setattr(routes, "read_reservoir", lambda *_, **__: sample)
    (item,) = call(make_app(lm), "GET", "/api/teach/others").json["sentences"]
    assert (item["ids"], item["cut"]) == (tokens[:MOST_TOKENS], cut)
    assert item["whole"] == (lm.tokenizer.decode(tokens) if known_whole else None)


def test_what_a_lesson_is_like_is_told(folder: Path) -> None:
    """The defaults, with the scope that is chosen by size, and what each scope takes."""
    told = listed(make_app(LanguageModel.load(folder)))["settings"]
    defaults = dataclasses.asdict(TeachingConfig()) | {"scope": "all"}
    assert told["defaults"] == defaults
    assert told["rates"] == RATES
    assert set(told["rules"]) == set(RATES)
    assert told["rules"]["all"][0] == "momentum" and told["rules"]["adapter"] == ["adam"]


def test_without_a_sample_there_are_no_other_sentences() -> None:
    assert call(make_app(article()), "GET", "/api/teach/others").json["sentences"] == []


def test_the_state_names_an_unkept_lesson_until_it_is_ended(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    app = make_app(lm)

    def state() -> Any:
        return call(app, "GET", "/api/teach/state").json

    idle = {"version": lm.version, "folder": True, "teaching": False, "unkept": None}
    assert state() == idle
    taught(app)
    assert state() == idle | {"version": lm.version, "unkept": "the cat → sat"}
    post(app, "/api/teach/undo", {})
    assert state() == idle


def test_the_words_of_the_prompt_are_taught_on_demand(folder: Path) -> None:
    app = make_app(LanguageModel.load(folder))
    for also_prompt, first in ((True, 0), (False, None)):
        lesson = taught(app, also_prompt=also_prompt, config=CONFIG | {"steps": 1})["lesson"]
        (sentence,) = lesson["sentences"]
        start = sentence["reply_from"] - 1 if first is None else first
        places = [at["position"] for at in sentence["positions"]]
        assert places == list(range(start, len(sentence["ids"]) - 1))
        if lesson["learned"]:
            post(app, "/api/teach/undo", {})


def test_a_kept_lesson_is_listed_with_its_generated_replies(folder: Path) -> None:
    lm = LanguageModel.load(folder)
    path = folder / "training" / "rehearsal.safetensors"
    sample = load_file(path)
    for name in ("tokens", "held_out.tokens"):
        sample[name][:, 10] = lm.tokenizer.end_id  # what stands before it is a prompt
    save_file(sample, path)
    app = make_app(lm)
    lesson = taught(app)["lesson"]
    post(app, "/api/teach/keep", {})
    (item,) = listed(app)["items"]
    assert item["reply_reliability"] == lesson["reply_reliability"] == 1.0
    assert item["reply_generality"] is None
    assert item["reply_locality"] == lesson["known_replies"]["share"]

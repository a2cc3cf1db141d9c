"""Replies as events."""

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from tests.unit.serve.calls import Reply, post
from tests.unit.serve.models import talker

from nextword.config import ReplyConfig
from nextword.language_model import LanguageModel
from nextword.serve.app import make_app


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return talker()


@pytest.fixture(scope="module")
def app(lm: LanguageModel) -> Starlette:
    return make_app(lm)


def events(app: Starlette, **body: Any) -> list[dict[str, Any]]:
    reply = post(app, "/api/reply", body)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/x-ndjson")
    return lines(reply)


def lines(reply: Reply) -> list[dict[str, Any]]:
    assert reply.body.endswith(b"\n")
    return [json.loads(line) for line in reply.body.splitlines()]


def test_every_step_and_its_candidates(app: Starlette, lm: LanguageModel) -> None:
    config = {"temperature": 0.7, "top_k": 3, "seed": 11}
    start, *steps, end = events(app, turns=["the cat"], mode="auto", config=config, top=5)
    reply = lm.reply("the cat", config=ReplyConfig(**config))  # type: ignore[arg-type]
    assert (start["event"], start["read_as"]) == ("start", "dialogue")
    assert (start["ids"], start["version"]) == (lm.ids("the cat"), lm.version)
    assert [step["token_id"] for step in steps] == [step.token_id for step in reply.tokens]
    assert (end["event"], end["text"], end["reason"]) == ("end", reply.text, reply.finish_reason)
    assert end["ids"] == start["ids"] + [step.token_id for step in reply.tokens]
    assert "".join(step["text"] for step in steps) == reply.text
    for step in steps:
        kept = [choice["kept_probability"] for choice in step["candidates"]]
        assert len(kept) == 5
        assert sum(kept) == pytest.approx(1, abs=1e-5)
        assert kept[3:] == [0, 0]  # top-k leaves three
        shares = [choice["probability"] for choice in step["candidates"]]
        assert shares == sorted(shares, reverse=True)
    assert [step["finish_reason"] for step in steps[:-1]] == [None] * (len(steps) - 1)


def test_the_next_word_alone_and_then_the_rest(app: Starlette, lm: LanguageModel) -> None:
    *_, step, end = events(app, turns=["the cat"], steps=1)
    assert (end["reason"], step["finish_reason"]) == ("steps", None)
    assert end["ids"] == [*lm.ids("the cat"), step["token_id"]]
    *_, whole = events(app, turns=["the cat"], config={"max_tokens": 6})
    *_, rest = events(app, ids=end["ids"], config={"max_tokens": 5})
    assert rest["ids"] == whole["ids"]  # greedy: the same words, however they are asked for


@pytest.mark.parametrize(
    ("body", "reason", "made"),
    [
        ({"steps": 3}, "steps", 3),
        ({"steps": 3, "config": {"max_tokens": 3}}, "length", 3),
        ({"steps": 7, "config": {"max_tokens": 2}}, "length", 2),
        ({"ids": [1] * 147}, "length", 2),  # two are left of a context of 149
        ({"ids": [1] * 147, "steps": 2}, "length", 2),
    ],
)
def test_why_it_ends(app: Starlette, body: dict[str, Any], reason: str, made: int) -> None:
    _, *steps, end = events(app, **({"ids": [1, 2]} | body))
    assert (end["reason"], len(steps)) == (reason, made)
    assert steps[-1]["finish_reason"] == ("length" if reason == "length" else None)


def test_a_stop_string_ends_it_before_it(app: Starlette) -> None:
    _, *steps, end = events(app, ids=[1, 2], config={"max_tokens": 9})
    text = end["text"]
    assert len(text) > 3
    _, *steps, end = events(app, ids=[1, 2], config={"stop": [text[1:3]], "max_tokens": 9})
    assert (end["reason"], end["text"]) == ("stop_string", text[: text.index(text[1:3])])
    assert steps[-1]["finish_reason"] is None


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"ids": [1], "steps": 0}, 422, "steps"),
        ({"ids": [1], "top": 101}, 422, "top"),
        ({"ids": [1], "top": -1}, 422, "top"),
        ({"ids": [1], "config": {"temperature": -1}}, 422, "config"),
        ({"ids": [1], "config": {"temperature": "hot"}}, 422, "config"),
        ({"ids": [1], "config": {"temperature": 10**400}}, 422, "config"),
        ({"ids": [1], "config": {"temprature": 1}}, 422, "config"),
        ({"ids": [1], "config": []}, 400, "config"),
        ({"ids": [1], "steps": True}, 400, "steps"),
        ({"ids": [1] * 149}, 422, None),
        ({"ids": []}, 422, None),
        ({"ids": [1], "version": "old"}, 409, "version"),
    ],
)
def test_what_cannot_be_replied_to(
    app: Starlette, body: dict[str, Any], status: int, param: str | None
) -> None:
    reply = post(app, "/api/reply", body)
    assert (reply.status, reply.error["param"]) == (status, param)


def test_who_hangs_up_stops_the_reply(app: Starlette, lm: LanguageModel) -> None:
    reply = post(app, "/api/reply", {"ids": [1, 2]}, hang_up_after=3)
    whole = lines(post(app, "/api/reply", {"ids": [1, 2]}))
    assert len(whole) > 20  # else this shows nothing
    assert 3 <= len(reply.parts) <= 5
    assert events(app, ids=[1, 2], steps=1)[-1]["event"] == "end"  # the model is free again


def test_an_error_in_the_middle_is_an_event(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a secret")

    app = make_app(lm)
    monkeypatch.setattr("nextword.generate.engine.pick", broken)
    start, error = events(app, ids=[1, 2])
    assert (start["event"], error["event"], error["error"]["code"]) == (
        "start",
        "error",
        "internal",
    )
    assert "secret" not in json.dumps(error)
    assert "a secret" in capsys.readouterr().err

"""The routes, from a request to the numbers in its answer."""

import json
import struct
from typing import Any

import numpy as np
import pytest
import torch
from starlette.applications import Starlette
from tests.unit.serve.calls import call, post, post_together
from tests.unit.serve.models import SENTENCE, article, talker

from nextword.language_model import LanguageModel
from nextword.serve.app import make_app
from nextword.serve.security import LARGEST_BODY


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return talker()


@pytest.fixture(scope="module")
def app(lm: LanguageModel) -> Starlette:
    return make_app(lm)


@pytest.fixture(scope="module")
def ids(lm: LanguageModel) -> list[int]:
    return lm.ids(SENTENCE)


def tensors(body: bytes) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    found = {}
    for item in header["tensors"]:
        kind = {"float32": "<f4", "uint8": "u1"}[item["dtype"]]
        count = int(np.prod(item["shape"]))
        flat = np.frombuffer(body, kind, count, 4 + length + item["offset"])
        found[item["name"]] = flat.reshape(item["shape"])
    return found, header["meta"]


def seen(app: Starlette, view: str, ids: list[int], **body: Any) -> Any:
    reply = post(app, f"/api/see/{view}", {"ids": ids} | body)
    assert reply.status == 200, reply.body
    if reply.headers["content-type"] == "application/json":
        return reply.json
    assert reply.headers["content-type"] == "application/vnd.nextword.tensors"
    return tensors(reply.body)


def test_the_card_tells_what_the_model_is(app: Starlette, lm: LanguageModel) -> None:
    reply = call(app, "GET", "/api/model")
    card = reply.json
    assert (card["n_layers"], card["n_heads"], card["n_kv_heads"], card["d_head"]) == (2, 4, 2, 10)
    assert (card["kind"], card["family"], card["tokenizer"]) == ("dialogue", "qwen3", "bpe")
    assert card["version"] == reply.headers["nextword-version"] == lm.version
    assert card["windows"] == [None, None]
    assert card["end_ids"] == [lm.tokenizer.end_id]
    names = {point["name"]: point["shape"] for point in card["points"]}
    assert names["blocks.N.attention.key"] == "K S D"
    assert "position" not in names  # it is rotary


def test_a_text_is_read_as_the_model_learned(app: Starlette, lm: LanguageModel) -> None:
    read = post(app, "/api/read", {"turns": [SENTENCE], "mode": "auto"}).json
    verdicts = lm.verdicts(SENTENCE)
    assert (read["read_as"], read["ids"], read["notes"]) == ("dialogue", lm.ids(SENTENCE), [])
    assert (read["n_judged"], read["n_right"]) == (len(verdicts) - 1, verdicts.n_right)
    assert read["loss"] == pytest.approx(verdicts.loss, rel=1e-6)
    for got, verdict in zip(read["positions"], verdicts, strict=True):
        assert (got["token"], got["rank"]) == (verdict.token, verdict.rank)
        assert (got["right"], got["in_top5"]) == (verdict.right, verdict.in_top5)
        assert got["predicted"]["token_id"] == verdict.predicted.token_id
        assert len(got["top"]) == 5
        assert got["loss"] is None or got["loss"] == float(np.float32(got["loss"]))
    assert read["positions"][-1]["actual"] is None


def test_the_mode_and_the_number_of_turns_decide(app: Starlette, lm: LanguageModel) -> None:
    plain = post(app, "/api/read", {"turns": ["cat"], "mode": "text"}).json
    assert (plain["read_as"], plain["ids"]) == ("text", lm.tokenizer.encode("cat"))
    two = post(make_app(article()), "/api/read", {"turns": ["the", "cat"], "mode": "auto"}).json
    assert two["read_as"] == "dialogue"
    same = post(app, "/api/read", {"ids": plain["ids"]}).json
    assert (same["read_as"], same["loss"]) == ("ids", plain["loss"])


def test_an_unknown_word_is_noted_each_time(recwarn: pytest.WarningsRecorder) -> None:
    app = make_app(article())
    for _ in range(2):
        read = post(app, "/api/read", {"turns": ["the zebra sat"]}).json
        assert len(read["notes"]) == 1
        assert "not in the vocabulary" in read["notes"][0]
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({}, 400, "bad_request", "turns"),
        ({"ids": [1], "turns": ["a"]}, 400, "bad_request", "turns"),
        ({"turns": []}, 422, "bad_text", None),
        ({"turns": ["a", "b"], "mode": "text"}, 422, "bad_text", None),
        ({"turns": ["cat " * 200]}, 422, "context_length", None),
        ({"ids": [270]}, 422, "bad_setting", "ids"),
        ({"ids": [1], "version": "0"}, 409, "version_changed", "version"),
    ],
)
def test_what_cannot_be_read(
    app: Starlette, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    reply = post(app, "/api/read", body)
    error = reply.error
    assert (reply.status, error["code"], error["param"]) == (status, code, param)


def test_the_ends_of_a_word(app: Starlette, lm: LanguageModel, ids: list[int]) -> None:
    found, _ = seen(app, "ends", ids, position=2)
    assert set(found) == {"token_embedding", "residual", "last_residual", "final_norm"}
    embedding = lm.decoder.token_embedding.weight[ids[2]].detach().numpy()
    np.testing.assert_array_equal(found["token_embedding"], embedding)
    trace = lm.trace_ids(ids)
    np.testing.assert_array_equal(
        found["last_residual"], trace.row("blocks.1.residual_post", 2).numpy()
    )


def test_a_row_has_every_value_of_a_layer(
    app: Starlette, lm: LanguageModel, ids: list[int]
) -> None:
    found, _ = seen(app, "row", ids, position=3, layer=1)
    trace = lm.trace_ids(ids, keep=("*",))
    inside = {name: point for name, point in trace.values.items() if name.startswith("blocks.1.")}
    assert set(found) == set(inside)
    whole = inside["blocks.1.attention.masked_scores"][:, 3].numpy()  # [H, S]
    np.testing.assert_allclose(found["blocks.1.attention.masked_scores"], whole, rtol=1e-5)
    assert np.isneginf(found["blocks.1.attention.masked_scores"][0, 4:]).all()


def test_the_past_and_the_map_of_a_head(app: Starlette, lm: LanguageModel, ids: list[int]) -> None:
    trace = lm.trace_ids(ids, keep=("*",))
    past, _ = seen(app, "past", ids, layer=1, head=3)
    assert set(past) == {"key", "key_used", "value"}
    value = trace["blocks.1.attention.value"][1].numpy()  # heads 2 and 3 share the second
    np.testing.assert_allclose(past["value"], value, rtol=1e-5, atol=1e-6)
    weights = trace["blocks.1.attention.attention_weights"][3].numpy()
    found, _ = seen(app, "map", ids, layer=1, head=3)
    assert found["attention_weights"].dtype == np.float32
    np.testing.assert_allclose(found["attention_weights"], weights, rtol=1e-5, atol=1e-7)


def test_the_map_of_a_long_sentence_is_for_colours(app: Starlette, lm: LanguageModel) -> None:
    ids = [1, 2, 3] * 43  # 129 tokens
    found, _ = seen(app, "map", ids, layer=0, head=0)
    weights = lm.trace_ids(ids).head_map(0, 0).numpy()
    assert found["attention_weights"].dtype == np.uint8
    assert np.abs(found["attention_weights"] / 255 - weights).max() <= 0.5 / 255 + 1e-6


def test_the_account_adds_up(app: Starlette, lm: LanguageModel, ids: list[int]) -> None:
    found, meta = seen(app, "account", ids, position=4, token=5, against=None)
    logit = float(lm.trace_ids(ids).logits([4])[0, 5])
    assert meta["logit"] == pytest.approx(logit, rel=1e-5)
    fixed = sum(item["amount"] for item in meta["fixed"])
    assert found["heads"].shape == (2, 4, len(ids))
    sums = [
        fixed + float(found["heads"].sum()),
        sum(meta["by_word"]),
        sum(meta["by_head"]),
        sum(item["amount"] for item in meta["by_layer"]),
        sum(item["amount"] for item in meta["by_kind"]),
    ]
    assert sums == pytest.approx([logit] * 5, rel=1e-4, abs=1e-4)
    assert (len(meta["by_word"]), len(meta["by_head"])) == (len(ids) + 1, 2 * 4 + 1)
    assert len(meta["top"]) == 24
    assert (meta["token_id"], meta["against_id"]) == (5, None)


def test_the_views_in_json(app: Starlette, lm: LanguageModel, ids: list[int]) -> None:
    trace = lm.trace_ids(ids)
    narration = seen(app, "narrate", ids, position=2)
    assert [item["text"] for item in narration["sentences"]] == [
        item.text for item in trace.narrate(2).sentences
    ]
    lens = seen(app, "lens", ids, positions=[0, 2])
    assert (len(lens["stages"]), lens["positions"]) == (5, [0, 2])
    following = seen(app, "next", ids, position=2, token=7)
    assert any(word["token_id"] == 7 for word in following["words"])
    assert any(word["actual"] for word in following["words"])
    name = "blocks.1.attention.query"
    equation = seen(app, "equation", ids, name=name, index=[2, 3, 4])
    assert equation["result"] == pytest.approx(float(trace[name][2, 3, 4]), rel=1e-5)
    overview, _ = seen(app, "overview", ids)
    assert overview["weights"].shape == (2, 4, len(ids), len(ids))
    assert overview["entropy"].shape == (2, 4)


@pytest.mark.parametrize(
    ("view", "body", "param"),
    [
        ("ends", {"position": 99}, "position"),
        ("row", {"position": 0, "layer": 2}, "layer"),
        ("map", {"layer": 0, "head": 4}, "head"),
        ("account", {"position": 0, "token": 270}, "token"),
        ("lens", {"positions": []}, "positions"),
        ("equation", {"name": "blocks.0.attention.quer", "index": [0]}, None),
        ("equation", {"name": "blocks.0.attention.query", "index": [0]}, None),
        ("equation", {"name": "blocks.0.attention.query", "index": [0, 0, 10]}, None),
        ("equation", {"name": "logits", "index": [0, 10**30]}, None),
    ],
)
def test_what_is_not_there_is_told(
    app: Starlette, ids: list[int], view: str, body: dict[str, Any], param: str | None
) -> None:
    reply = post(app, f"/api/see/{view}", {"ids": ids} | body)
    error = reply.error
    assert (reply.status, error["code"], error["param"]) == (422, "bad_setting", param)


def test_weights_that_are_no_numbers_are_told() -> None:
    broken = article()
    with torch.no_grad():
        broken.decoder.unembedding.weight[0, 0] = float("nan")
    reply = post(make_app(broken), "/api/read", {"turns": ["the cat"]})
    assert (reply.status, reply.error["code"]) == (422, "not_finite")


def test_changed_weights_are_seen_at_once() -> None:
    lm = article()
    app = make_app(lm)
    before = post(app, "/api/read", {"turns": ["the cat"]}).json
    with torch.no_grad():
        lm.decoder.token_embedding.weight.mul_(1.5)
    after = post(app, "/api/read", {"turns": ["the cat"]}).json
    assert before["version"] != after["version"] == lm.version
    assert before["loss"] != after["loss"]
    body = {"ids": before["ids"], "position": 0, "version": before["version"]}
    assert post(app, "/api/see/ends", body).error["code"] == "version_changed"


def test_the_largest_body_of_nonsense_is_refused_quickly(app: Starlette) -> None:
    for data in (b"[" * LARGEST_BODY, b'{"ids":[' + b"0," * 499_990 + b"0]}"):
        assert post(app, "/api/see/overview", data).status in (400, 422)


def test_a_question_that_nobody_waits_for_is_not_worked_out(
    lm: LanguageModel, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[int] = []
    app = make_app(lm)
    monkeypatch.setattr(lm, "trace_ids", lambda ids: traced.append(1))
    reply = post(app, "/api/see/overview", {"ids": ids}, hang_up_after=0)
    assert (reply.status, traced) == (499, [])


def test_questions_at_the_same_time_get_their_own_answers(
    app: Starlette, lm: LanguageModel, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [seen(app, "ends", ids, position=place)[0]["residual"] for place in range(4)]
    inside: list[int] = []
    most: list[int] = []
    trace_ids = lm.trace_ids

    def watched(ids: list[int]) -> Any:
        inside.append(1)
        most.append(len(inside))
        made = trace_ids(ids)
        inside.pop()
        return made

    monkeypatch.setattr(lm, "trace_ids", watched)
    values = [{"ids": ids[: 4 + place // 4], "position": place % 4} for place in range(12)]
    replies = post_together(make_app(lm), "/api/see/ends", values)
    for place, reply in enumerate(replies):
        np.testing.assert_array_equal(tensors(reply.body)[0]["residual"], wanted[place % 4])
    assert most == [1, 1, 1]  # three sentences, each traced once, one after the other

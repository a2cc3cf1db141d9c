"""Bodies: what is read, and what is refused with which key."""

import pytest

from nextword.config import ModelConfig
from nextword.errors import ContextError, DataError
from nextword.serve.responses import RequestError
from nextword.serve.schemas import (
    AccountFor,
    AtHead,
    AtRow,
    LensAt,
    Read,
    ReplyTo,
    Sentence,
    check_ids,
    check_places,
    check_version,
    parse,
)

CONFIG = ModelConfig(vocab_size=7, d_model=6, context_length=5, n_layers=2, n_heads=3, d_head=2)


def test_a_body_becomes_its_dataclass() -> None:
    body = parse(AccountFor, b'{"ids":[1,2],"position":1,"token":null,"against":3}')
    assert body == AccountFor(ids=(1, 2), position=1, token=None, against=3)
    assert parse(Read, '{"turns":["süß"],"mode":"text"}'.encode()).turns == ("süß",)
    assert parse(ReplyTo, b'{"ids":[1],"config":{"top_k":2}}').config == {"top_k": 2}


@pytest.mark.parametrize(
    ("data", "param", "says"),
    [
        (b'{"ids":[1],"postion":0,"layer":0}', "postion", "'position'"),
        (b'{"ids":[1],"layer":0}', "position", "missing"),
        (b'{"ids":[1],"position":"0","layer":0}', "position", "a whole number"),
        (b'{"ids":[1],"position":true,"layer":0}', "position", "a whole number"),
        (b'{"ids":[1],"position":1.0,"layer":0}', "position", "a whole number"),
        (b'{"ids":[1],"position":null,"layer":0}', "position", "a whole number"),
        (b'{"ids":[1,"2"],"position":0,"layer":0}', "ids", "a list, each item a whole number"),
        (b'{"ids":"12","position":0,"layer":0}', "ids", "a list"),
        (b'{"ids":{"0":1},"position":0,"layer":0}', "ids", "a list"),
        (b'{"ids":[[1]],"position":0,"layer":0}', "ids", "a list"),
        (b'{"ids":[1],"position":0,"layer":0,"version":3}', "version", "a text or null"),
    ],
)
def test_a_wrong_key_is_named(data: bytes, param: str, says: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(AtRow, data)
    assert (caught.value.status, caught.value.code) == (400, "bad_request")
    assert caught.value.param == param
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b'"ids"', b"ids=1", b"\xff\xfe", b'{"ids":[NaN]}',
        b'{"ids":[Infinity]}', b'{"ids":[1],"ids":[2]}', b'{"ids":[1]} {}', b'{"ids":[1],}',
        b'{"ids":' + b"[" * 400_000, b'{"ids":' + b'{"a":' * 150_000,
        b'{"ids":[' + b"9" * 9000 + b"]}",
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match="body") as caught:
        parse(Sentence, data)
    assert (caught.value.status, caught.value.param) == (400, None)
    assert len(str(caught.value)) < 300


def test_a_mode_is_one_of_three() -> None:
    with pytest.raises(RequestError, match="'auto', 'dialogue', 'text'"):
        parse(Read, b'{"turns":["a"],"mode":"Auto"}')


def test_tokens_must_make_a_sentence() -> None:
    check_ids([0, 6, 0, 6, 0], CONFIG)
    with pytest.raises(DataError, match="at least 1"):
        check_ids([], CONFIG)
    with pytest.raises(ContextError, match="6 tokens, and this model's context holds 5"):
        check_ids([0] * 6, CONFIG)
    for wrong in (-1, 7, 10**400):
        with pytest.raises(RequestError, match="from 0 to 6") as caught:
            check_ids([1, wrong], CONFIG)
        assert (caught.value.status, caught.value.param) == (422, "ids")


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (AtRow(ids=(1, 2), position=2, layer=0), "position", "from 0 to 1"),
        (AtRow(ids=(1, 2), position=-1, layer=0), "position", "from 0 to 1"),
        (AtRow(ids=(1, 2), position=0, layer=2), "layer", "from 0 to 1"),
        (AtHead(ids=(1, 2), layer=0, head=3), "head", "from 0 to 2"),
        (AccountFor(ids=(1,), position=0, token=7), "token", "from 0 to 6"),
        (AccountFor(ids=(1,), position=0, against=-1), "against", "from 0 to 6"),
        (LensAt(ids=(1, 2), positions=(0, 2)), "positions", "from 0 to 1"),
        (LensAt(ids=(1, 2), positions=()), "positions", "1 to 32"),
        (LensAt(ids=(1, 2), positions=(0,) * 33), "positions", "1 to 32"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(body: Sentence, param: str, says: str) -> None:
    with pytest.raises(RequestError, match=says) as caught:
        check_places(body, CONFIG)
    error = caught.value
    assert (error.status, error.code, error.param) == (422, "bad_setting", param)


def test_a_model_without_blocks_has_no_layer() -> None:
    config = ModelConfig(vocab_size=7, d_model=6, n_layers=0)
    with pytest.raises(RequestError, match="this model has none"):
        check_places(AtHead(ids=(1,), layer=0, head=0), config)


def test_another_version_of_the_weights_is_told() -> None:
    check_version(Read(version=None), "abc")
    check_version(Read(version="abc"), "abc")
    with pytest.raises(RequestError) as caught:
        check_version(Read(version="abd"), "abc")
    assert (caught.value.status, caught.value.code) == (409, "version_changed")

"""Answers: float32 in JSON, and tensors as bytes."""

import json
import math
import struct
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from nextword.errors import ConfigError, ContextError, DataError, LossError, TokenizerError
from nextword.serve.responses import compact, exact, refusal
from nextword.serve.tensor_bytes import pack


@dataclass(frozen=True)
class Pair:
    left: float
    right: tuple[float | None, ...]


def test_every_number_is_a_float32() -> None:
    value = exact({"a": Pair(0.1, (1 / 3, None)), 2: torch.tensor([0.5, 2.0]), "n": 3, "t": True})
    assert value["a"] == {"left": float(np.float32(0.1)), "right": [float(np.float32(1 / 3)), None]}
    assert value["2"] == [0.5, 2.0]
    assert value["n"] == 3
    assert value["t"] is True
    assert compact(exact(0.1)) == "0.10000000149011612"  # as JavaScript's Math.fround prints it


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_has_no_word_for_what_is_not_finite(value: float) -> None:
    assert exact([value]) == [None]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContextError("x"), "context_length"),
        (ConfigError("x"), "bad_setting"),
        (DataError("x"), "bad_text"),
        (TokenizerError("x"), "bad_text"),
        (LossError("x"), "not_finite"),
    ],
)
def test_each_error_has_its_code(error: Exception, code: str) -> None:
    status, body = refusal(error)
    assert (status, body["error"]["code"], body["error"]["type"]) == (
        422, code, type(error).__name__,
    )  # fmt: skip


def test_tensors_are_read_back_as_they_were() -> None:
    first = torch.tensor([[1.5, -math.inf, math.nan], [0.1, 2.0, 3.0]], dtype=torch.float64)
    small = torch.tensor([0, 7, 255], dtype=torch.uint8)
    data = pack(
        {"blocks.0.a": first, "small": small, "last": torch.tensor([5, 6])},
        version="abc", meta={"token": "süß", "x": 0.1},
    )  # fmt: skip
    (length,) = struct.unpack_from("<I", data)
    assert (4 + length) % 8 == 0
    header = json.loads(data[4 : 4 + length])
    assert (header["version"], header["meta"]["token"]) == ("abc", "süß")
    assert header["meta"]["x"] == float(np.float32(0.1))
    assert [item["offset"] for item in header["tensors"]] == [0, 24, 28]  # 2·3·4 bytes, then 3 of 4
    assert [item["dtype"] for item in header["tensors"]] == ["float32", "uint8", "float32"]
    assert [item["shape"] for item in header["tensors"]] == [[2, 3], [3], [2]]
    assert [item["scale"] for item in header["tensors"]] == [1, 1 / 255, 1]
    numbers = data[4 + length :]
    read = np.frombuffer(numbers, "<f4", 6).reshape(2, 3)
    np.testing.assert_array_equal(read, first.numpy().astype(np.float32))
    assert list(numbers[24:28]) == [0, 7, 255, 0]
    assert np.frombuffer(numbers, "<f4", 2, 28).tolist() == [5, 6]


def test_a_tensor_that_is_a_view_is_sent_in_its_own_order() -> None:
    turned = torch.arange(6.0).reshape(2, 3).T
    data = pack({"turned": turned}, version="", meta={})
    assert np.frombuffer(data[-24:], "<f4").tolist() == [0, 3, 1, 4, 2, 5]

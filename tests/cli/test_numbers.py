"""Numeric options: every odd value is refused in one line that says what is allowed."""

import importlib
import json
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from nextword.cli.main import COMMANDS, main
from nextword.cli.shared.numbers import Real, Whole
from nextword.config import ReplyConfig, RotaryScaling, TrainingConfig
from nextword.errors import ConfigError
from nextword.serve.responses import RequestError
from nextword.serve.schemas import ReplyTo, parse
from nextword.validation import LARGEST, config_from

NO_NUMBERS = ("nan", "inf", "-inf", "1e400", "1e999999999", "", "x", "9" * 5000)
KINDS = (Whole, Real, click.types.IntParamType, click.types.FloatParamType)
ARGUMENTS = {"train": ["X", "--out", "Y"], "ladder": ["X", "--out", "Y"], "try": []}


def numeric_options() -> Iterator[tuple[str, str]]:
    for name, (place, _) in COMMANDS.items():
        module, _, attribute = place.partition(":")
        for item in getattr(importlib.import_module(f"nextword.cli.{module}"), attribute).params:
            if isinstance(item.type, KINDS):
                yield name, item.opts[0]


@pytest.mark.parametrize(("name", "option"), list(numeric_options()))
def test_every_numeric_option_refuses_what_is_no_number(name: str, option: str) -> None:
    for value in NO_NUMBERS:
        arguments = ARGUMENTS.get(
            name, ["no-folder", "text"][: 1 + (name not in ("chat", "serve"))]
        )
        result = CliRunner().invoke(main, [name, *arguments, f"{option}={value}"])
        assert result.exit_code == 2, (value, result.stderr)
        assert " is not a " in result.stderr
        assert result.stderr.count("\n") == 1
        assert len(result.stderr) < 300


@pytest.mark.parametrize(
    ("kind", "text", "number"),
    [
        (Whole(1, units=True), "1.5M", 1_500_000),
        (Whole(1, units=True), "2,000", 2000),
        (Whole(1, units=True), "500k", 500_000),
        (Whole(1, units=True), "1e3", 1000),
        (Whole(), "-7", -7),
        (Whole(0, 65535), "65535", 65535),
        (Whole(), str(LARGEST), LARGEST),
        (Real(least=0), "0", 0.0),
        (Real(above=0), "1e-3", 0.001),
    ],
)
def test_numbers_as_people_write_them(
    kind: click.ParamType[float], text: str, number: float
) -> None:
    assert kind.convert(text, None, None) == number


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (Whole(1), "0", "'0' is not a whole number above 0"),
        (Whole(0), "-1", "'-1' is not a whole number from 0 on"),
        (Whole(0, 65535), "65536", "'65536' is not a whole number from 0 to 65,535"),
        (Whole(), "2.5", "'2.5' is not a whole number"),
        (Whole(), str(LARGEST + 1), f"'{LARGEST + 1}' is not a whole number"),
        (
            Whole(1, units=True),
            "1.5",
            "'1.5' is not a whole number above 0; write for example 2000",
        ),
        (Real(above=0), "0", "'0' is not a finite number above 0"),
        (Real(least=0), "-0.1", "'-0.1' is not a finite number from 0 on"),
    ],
)
def test_a_number_out_of_bounds_is_told_what_is_allowed(
    kind: click.ParamType[float], text: str, says: str
) -> None:
    with pytest.raises(click.BadParameter) as error:
        kind.convert(text, None, None)
    assert error.value.message.startswith(says)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_settings_of_files_refuse_what_is_not_finite(value: float) -> None:
    for name in ("learning_rate", "dropout", "beta1"):
        with pytest.raises(ConfigError, match=name):
            config_from(TrainingConfig, {"steps": 1, name: value})
    with pytest.raises(ConfigError, match="beta_fast"):
        config_from(
            RotaryScaling,
            {"kind": "yarn", "factor": 2.0, "original_context_length": 8, "beta_fast": value},
        )
    with pytest.raises(ConfigError, match="top_k"):
        config_from(ReplyConfig, {"top_k": 2**63})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e999"])
def test_a_body_with_a_number_that_json_has_not_is_refused(number: str) -> None:
    body = json.dumps({"turns": ["a"], "config": {"temperature": 7}}).replace("7", number)
    with pytest.raises(RequestError) as error:
        parse(ReplyTo, body.encode())
    assert error.value.status == 400

"""The tree of errors: who is whose base, what the messages hold, with which code one leaves."""

import inspect

import pytest

from nextword import errors
from nextword.errors import (
    BadLineError,
    ConfigError,
    DataError,
    MissingExtraError,
    NextwordError,
    StoppedError,
    unknown,
    unsupported,
)

TREE = [  # as drawn in the docstring: (depth, name)
    (line.index(name) // 4, name)
    for line in (errors.__doc__ or "").splitlines()
    if line.startswith("    ")
    for name in [line.strip("│├└─ ").split()[0]]
]


def classes() -> dict[str, type[NextwordError]]:
    return {
        name: found
        for name, found in inspect.getmembers(errors, inspect.isclass)
        if issubclass(found, NextwordError)
    }


def test_the_drawing_names_every_error() -> None:
    assert sorted(name for _, name in TREE) == sorted(classes())


def test_the_drawing_tells_the_bases() -> None:
    above: dict[int, str] = {}
    for depth, name in TREE:
        above[depth] = name
        if depth > 1:
            assert classes()[name].__bases__[0].__name__ == above[depth - 1]
    assert TREE[0] == (1, "NextwordError")


def test_every_error_says_what_it_is_for_in_one_line() -> None:
    for name, found in classes().items():
        assert (found.__doc__ or "").splitlines()[0].endswith((".", "on purpose.")), name


def test_an_impossible_setting_is_a_value_error_too() -> None:
    assert issubclass(ConfigError, ValueError)


def test_only_a_stopped_run_leaves_with_another_code() -> None:
    codes = {name: found.exit_code for name, found in classes().items()}
    assert codes.pop("StoppedError") == StoppedError.exit_code == 75
    assert set(codes.values()) == {1}


def test_a_bad_line_names_its_place_and_both_mends() -> None:
    error = BadLineError("talks.jsonl:17", "the key 'reply' is missing")
    assert isinstance(error, DataError)
    assert (error.where, error.problem) == ("talks.jsonl:17", "the key 'reply' is missing")
    assert str(error) == (
        "talks.jsonl:17: the key 'reply' is missing. "
        "Mend the line, or skip such lines with --skip-bad."
    )


def test_a_missing_extra_says_how_to_install_it() -> None:
    error = MissingExtraError("pyarrow", "parquet", "reading x.parquet")
    assert str(error) == (
        "reading x.parquet needs the package pyarrow, which is not installed. "
        "Install it with: pip install 'nextword[parquet]'"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("lama", "unknown preset 'lama'; allowed are: seed, llama. Did you mean 'llama'?"),
        ("qq", "unknown preset 'qq'; allowed are: seed, llama."),
        ("", "unknown preset ''; allowed are: seed, llama."),
    ],
)
def test_an_unknown_name_gets_the_nearest_match(given: str, message: str) -> None:
    assert unknown("preset", given, ["seed", "llama"]) == message


def test_allowed_names_may_come_from_an_iterator() -> None:
    assert "allowed are: a, b." in unknown("letter", "x", iter("ab"))


def test_what_a_model_has_and_we_do_not_compute_gets_no_suggestion() -> None:
    assert unsupported("hidden_act", "gelu", ["gelu_new", "silu"]) == (
        "hidden_act is 'gelu', which Nextword does not compute; it computes gelu_new, silu. Leave "
        "the name as it is: under another one the weights would give wrong numbers"
    )
    assert f"is '{'x' * 80}…', which" in unsupported("hidden_act", "x" * 81, ["silu"])

"""--columns names which columns of the data hold prompts and replies."""

from pathlib import Path

import pytest

from nextword.cli.shared.columns import parse_columns
from nextword.cli.training.train import request_from
from nextword.errors import ConfigError


def test_columns_in_one_option_or_several() -> None:
    expected = {"prompt": "Frage", "reply": "die Antwort"}
    assert parse_columns(["prompt=Frage,reply=die Antwort"]) == expected
    assert parse_columns(["prompt = Frage", "reply=die Antwort"]) == expected
    assert parse_columns([]) == {}


@pytest.mark.parametrize("given", ["Frage", "prompt=", "=Frage", "prompt=a,", "prompt=a,prompt=b"])
def test_what_names_no_column_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match="--columns"):
        parse_columns([given])


def test_columns_stand_in_the_settings_of_a_run_that_has_them() -> None:
    def settings(**values: object) -> dict[str, object]:
        return request_from(dict(values), ("a.csv",), Path("out")).settings()

    columns = {"prompt": "Frage", "reply": "Antwort"}
    assert settings(columns=columns)["columns"] == columns
    assert "columns" not in settings()  # as in runs of version 0.1
    with pytest.raises(ConfigError, match="unknown name in --columns 'promt'"):
        settings(columns={"promt": "Frage"})
    with pytest.raises(ConfigError, match="must be of type table"):
        settings(columns="prompt")

"""Whatever is in a file or an option: no command ends as a bug in Nextword (exit code 70)."""

import csv
import io
import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nextword.cli.main import BUG, main

SMALL = ["--steps", "1", "--depth", "1", "--context", "16", "--quiet", "--held-out", "0"]
ODD = [
    "nan",
    "inf",
    "-1",
    "0",
    "1",
    "1e400",
    "",
    "x",
    "ü",
    "9" * 30,
    "2.5",
    "-0",
    "1_0",
    "--",
    "\t",
]
LONG = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SHORT = settings(LONG, max_examples=6, phases=[Phase.explicit, Phase.generate])

texts = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from(["\x00", "\r", "\n", '"', ",", "\t", "\ufeff"]),
    ),
    max_size=12,
)
values = st.recursive(
    st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
KEYS = ["prompt", "reply", "messages", "conversations", "role", "content", "text", "from", "value"]
objects = st.dictionaries(st.sampled_from(KEYS) | texts, values | texts, max_size=4)
pairs = st.fixed_dictionaries({"prompt": texts, "reply": texts})
rows = st.lists(st.one_of(pairs, objects, values), max_size=6)


def as_jsonl(items: Sequence[object]) -> bytes:
    return "\n".join(json.dumps(item) for item in items).encode()


def as_csv(items: Sequence[object], *, delimiter: str) -> bytes:
    made = io.StringIO()
    writer = csv.writer(made, delimiter=delimiter, escapechar="\\", lineterminator="\r")
    writer.writerow(["prompt", "reply"])
    for item in items:
        writer.writerow(list(map(str, item.values() if isinstance(item, dict) else [item])))
    return made.getvalue().encode(errors="replace")


contents = st.one_of(
    st.tuples(st.sampled_from(["jsonl", "txt", "json"]), rows.map(as_jsonl)),
    st.tuples(st.just("json"), rows.map(lambda items: json.dumps(items).encode())),
    st.tuples(st.just("csv"), rows.map(lambda items: as_csv(items, delimiter=","))),
    st.tuples(st.just("tsv"), rows.map(lambda items: as_csv(items, delimiter="\t"))),
    st.tuples(st.sampled_from(["txt", "md", "parquet", "jsonl", "csv"]), st.binary(max_size=80)),
    st.tuples(st.just("txt"), texts.map(lambda text: (text * 40).encode())),
)
odd = st.sampled_from(ODD) | texts.filter(lambda text: "\x00" not in text)
TRAIN = ["--depth", "--steps", "--tokens", "--minutes", "--aim", "--vocab-size", "--context"]
TRAIN += ["--layers", "--heads", "--width", "--batch", "--accumulate", "--optimizer", "--from"]
TRAIN += ["--learning-rate", "--dropout", "--learn", "--precision", "--device", "--threads"]
TRAIN += ["--seed", "--held-out", "--tokenizer", "--preset"]
SETTINGS = [
    "training.beta1",
    "training.talks",
    "model.norm_epsilon",
    "model.rotary_base",
    "x.y",
    "model",
]
REPLY = ["--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty", "--seed"]
REPLY += ["--stop", "--device"]
LOOK = ["--top", "--position", "--layer", "--head", "--against"]
LADDER = ["--seconds", "--seeds", "--width", "--layers", "--heads", "--context", "--batch"]
TEACH = ["--at", "--phrasing", "--margin", "--seconds", "--learning-rate", "--rank", "--scope"]
TEACH += ["--rehearse", "--device"]


def options(names: Sequence[str], *, most: int = 2) -> st.SearchStrategy[list[str]]:
    pair = st.tuples(st.sampled_from(names), odd).map(lambda made: [f"{made[0]}={made[1]}"])
    return st.lists(pair, max_size=most).map(lambda found: [*itertools.chain(*found)])


def run(arguments: Sequence[str], *, given_input: bytes = b"") -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # a note on standard error, as for a person
        result = CliRunner().invoke(main, list(arguments), input=given_input)
    assert result.exit_code != BUG, (arguments, result.stderr)
    assert "Traceback" not in result.stderr, (arguments, result.stderr)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest model that talks."""
    place = tmp_path_factory.mktemp("model")
    data = place / "data.jsonl"
    data.write_text(
        '{"prompt": "who?", "reply": "me"}\n{"prompt": "where?", "reply": "here"}\n' * 3
    )
    assert run(["train", str(data), "--out", str(place / "m"), *SMALL, "--tokenizer", "words"]) == 0
    return place / "m"


def check_data(folder: Path, kind: str, content: bytes, more: Sequence[str]) -> None:
    data = folder.parent / f"given.{kind}"
    data.write_bytes(content)
    out = folder.parent / "trained"
    run(["train", str(data), "--out", str(out), "--fresh", *SMALL, *more])
    run(["evaluate", str(folder), str(data), "--limit", "1", "--replies", "1"])
    run(["teach", str(folder), "--file", str(data), "--dry-run", "--steps", "1"])


def check_options(folder: Path, made: dict[str, list[str]], piped: bytes) -> None:
    model, data = str(folder), str(folder.parent / "data.jsonl")
    out = str(folder.parent / "options")
    run(["train", data, "--out", out, "--fresh", *SMALL, *made["train"], "--steps", "1"])
    run(["reply", model, "--max-tokens", "2", *made["reply"]], given_input=piped)
    run(["chat", model, "--max-tokens", "2", *made["reply"]], given_input=piped)
    run(["look", model, "who?", "me", *made["look"]])
    run(["teach", model, "who?", "here", "--steps", "1", "--dry-run", *made["teach"]])
    run(["lessons", model, *made["lessons"]])
    run(["serve", model, "--port", "no port", *made["serve"]])
    run(["ladder", data, "--out", f"{out}-ladder", "--rungs", "none", *made["ladder"]])
    run(["evaluate", model, "-", *made["evaluate"]], given_input=piped)


every_option = st.fixed_dictionaries(
    {
        "train": st.one_of(
            options(TRAIN),
            st.tuples(st.sampled_from(SETTINGS), odd).map(lambda made: ["--set", "=".join(made)]),
        ),
        "reply": options(REPLY),
        "look": options(LOOK),
        "teach": options(TEACH),
        "lessons": options(["--undo", "--wait"]),
        "serve": options(["--host", "--threads"]),
        "ladder": options(LADDER),
        "evaluate": options(["--limit", "--context", "--replies", "--device"]),
    }
)


def toml(made: Mapping[str, object]) -> str:
    def written(value: object) -> str:
        if isinstance(value, float):
            return repr(value)
        if value is None:
            return '"none"'
        if isinstance(value, dict):
            inner = ", ".join(f"{json.dumps(key)} = {written(item)}" for key, item in value.items())
            return f"{{ {inner} }}"
        if isinstance(value, list):
            return f"[{', '.join(map(written, value))}]"
        return json.dumps(value).replace("\\ud", "\\\\ud")

    return "".join(f"{key} = {written(value)}\n" for key, value in made.items())


NAMES = "depth context preset steps tokens minutes aim tokenizer vocab_size held_out skip_bad start"
files = st.dictionaries(
    st.sampled_from([*NAMES.split(), "model.d_ff", "training.seed", "training.dropout", "model"]),
    values | st.integers(-1, 3),
    max_size=3,
).map(toml)


def check_config(folder: Path, written: str) -> None:
    file = folder.parent / "settings.toml"
    file.write_text(written)
    data, out = str(folder.parent / "data.jsonl"), str(folder.parent / "configured")
    run(["train", data, "--out", out, "--fresh", "--config", str(file), "--quiet", "--steps", "1"])


CHECKS: list[tuple[str, Callable[..., None], dict[str, st.SearchStrategy[object]]]] = [
    ("data", lambda folder, found, more: check_data(folder, found[0], found[1], more),
     {"found": contents, "more": st.sampled_from([[], ["--skip-bad"]])}),
    ("options", check_options, {"made": every_option, "piped": st.binary(max_size=30)}),
    ("configs", check_config, {"written": files}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "check", "given_by"), CHECKS, ids=[item[0] for item in CHECKS])
@pytest.mark.parametrize("profile", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
def test_no_command_ends_as_a_bug(
    folder: Path,
    name: str,
    check: Callable[..., None],
    given_by: dict[str, st.SearchStrategy[object]],
    profile: settings,
) -> None:
    @profile
    @given(**given_by)
    def checked(**made: object) -> None:
        check(folder, **made)

    checked()


def test_doctor_never_ends_as_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    for cc in ('gcc "x', "", "/", "./nowhere"):
        monkeypatch.setenv("CC", cc)
        run(["doctor"])

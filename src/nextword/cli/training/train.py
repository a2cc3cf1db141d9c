"""`nextword train`: teach a new transformer text or dialogues."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nextword.cli.shared.columns import columns_option, parse_columns
from nextword.cli.shared.command import command, console, echo_json, json_option
from nextword.cli.shared.numbers import Real, Whole
from nextword.common.formatting import count
from nextword.errors import ConfigError, unknown

if TYPE_CHECKING:
    from nextword.training.report.reporters import Reporter
    from nextword.training.request import TrainRequest

PLACES = {  # option: where its value goes, a section of the request and a setting in it
    "layers": ("model", "n_layers"),
    "heads": ("model", "n_heads"),
    "width": ("model", "d_model"),
    "batch": ("training", "batch_size"),
    "accumulate": ("training", "accumulate"),
    "optimizer": ("training", "optimizer"),
    "learning_rate": ("training", "learning_rate"),
    "dropout": ("training", "dropout"),
    "learn": ("training", "learn"),
    "precision": ("training", "precision"),
    "device": ("training", "device"),
    "threads": ("training", "threads"),
    "seed": ("training", "seed"),
}
SECTIONS = ("model", "training")


@command(
    "train",
    example="""
    nextword train my-dialogues.jsonl --out models/mine --minutes 3
    nextword train book.txt --out models/book --depth 4 --steps 2000
    nextword train nextword:dialogues --out models/self --held-out nextword:phrasings
    """,
)
@click.argument("data", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The model's folder.")
@click.option("--from", "start", metavar="FOLDER", help="Go on from this model's weights.")
@click.option("--lessons", is_flag=True, help="Learn what --from's model was taught, too.")
@click.option("--preset", metavar="NAME", help="seed, gpt2, llama, qwen3 (default) or nextword.")
@click.option(
    "--depth", type=Whole(1), help="The dial: d_model = 64 × depth, depth blocks and heads."
)
@click.option("--steps", type=Whole(1, units=True), help="Budget: optimizer steps.")
@click.option(
    "--tokens", type=Whole(1, units=True), help="Budget: tokens to learn from; 500k, 1.5M."
)
@click.option(
    "--minutes", type=Real(above=0), help="Budget: time; picks depth and steps. Default: 5."
)
@click.option(
    "--aim",
    metavar="AIM",
    help="answers: learn every reply given (default for dialogues). generalize: the lowest "
    "held-out loss (default for text).",
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A TOML file.")
@click.option("--tokenizer", metavar="KIND|FOLDER", help="bpe (default), words, characters.")
@click.option(
    "--vocab-size", type=Whole(1, units=True), help="Tokens of a tokenizer to be learned."
)
@click.option("--context", type=Whole(1), help="Tokens the model can look back on.")
@click.option("--layers", type=Whole(0), help="Blocks, in place of the depth's.")
@click.option("--heads", type=Whole(1), help="Heads, in place of the depth's.")
@click.option("--width", type=Whole(1), help="d_model, in place of the depth's.")
@click.option("--batch", type=Whole(1), help="Sequences per step.")
@click.option("--accumulate", type=Whole(1), help="Work a batch through in so many parts.")
@click.option("--optimizer", metavar="NAME", help="muon (default) or adamw.")
@click.option("--learning-rate", type=Real(least=0), help="Of AdamW.")
@click.option("--dropout", type=Real(least=0), help="Share dropped while training.")
@click.option("--learn", metavar="WHAT", help="everything (default) or replies.")
@click.option("--precision", metavar="NAME", help="auto (default), float32, bfloat16, int16, int8.")
@click.option("--device", metavar="NAME", help="auto (default), cpu, cuda or mps.")
@click.option("--threads", type=Whole(0), help="Threads; default: the machine's cores.")
@click.option("--seed", type=Whole(0), help="Of first weights, order and dropout. Default: 0.")
@click.option(
    "--held-out",
    metavar="SHARE|DATA",
    help="Judge by a share of the data (default: 0.1) or by other data.",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any other setting.")
@click.option("--skip-bad", is_flag=True, help="Pass over broken lines and count them.")
@columns_option
@click.option("--fresh", is_flag=True, help="Start over where the folder has an earlier run.")
@click.option(
    "--tensorboard/--no-tensorboard",
    default=None,
    help="Also write TensorBoard's event files. Default: where it is installed.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@json_option
def train(
    data: tuple[str, ...],
    out: Path,
    config_file: Path | None,
    settings: tuple[str, ...],
    skip_bad: bool,
    columns: tuple[str, ...],
    fresh: bool,
    lessons: bool,
    tensorboard: bool | None,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Teach a new transformer your text or dialogues.

    DATA are files or folders of text, or of prompts and replies (JSONL, JSON, CSV, TSV, Parquet),
    - for standard input, or nextword:dialogues for those that come with Nextword. Dialogues teach
    it to reply; plain text teaches it to go on with a text.

    Ctrl-C saves and stops; the same command goes on. Every setting is listed in docs/settings.md.
    """
    started = time.monotonic()
    values = read_config(config_file) if config_file is not None else {}
    apply_options(values, options)
    for setting in settings:
        apply_setting(values, setting)
    if skip_bad:
        values["skip_bad"] = True
    if columns:
        values["columns"] = parse_columns(columns)
    request = request_from(values, data, out)
    run(
        with_lessons(request, quiet=quiet) if lessons else request,
        as_json=as_json,
        fresh=fresh,
        tensorboard=_installed("tensorboard") if tensorboard is None else tensorboard,
        quiet=quiet,
        started=started,
    )


def run(
    request: "TrainRequest",
    *,
    as_json: bool = False,
    fresh: bool = False,
    tensorboard: bool = False,
    quiet: bool = False,
    advice: bool = True,
    started: float,
) -> None:
    """Train, telling how it goes on standard output.

    Args:
        advice: end with the advice, which names options of `nextword train`.
    """
    from nextword.training.pipeline import train as run_training
    from nextword.training.report.reporters import reporter_for

    events = request.out / "training" / "tensorboard" if tensorboard else None
    reporter = reporter_for(console(), quiet=quiet, as_json=as_json, tensorboard=events)
    if not advice:
        reporter = cast("Reporter", WithoutAdvice(reporter))
    trained = run_training(request, reporter=reporter, fresh=fresh, started=started)
    if as_json and not quiet:
        result = {"folder": trained.folder, "already": trained.already, **trained.summary()}
        echo_json({"event": "result"} | result, indent=None)
    elif trained.already and not quiet:
        click.echo(
            f"this run was finished before, after {count(trained.steps, 'step')}; "
            "--fresh starts over"
        )
        for line in trained.lines():
            if advice or not line.startswith("advice: "):
                click.echo(line)


class WithoutAdvice:
    """A reporter that passes everything on but the advice."""

    def __init__(self, reporter: "Reporter") -> None:
        self._reporter = reporter

    def __getattr__(self, name: str) -> Any:
        """Return what the reporter has."""
        return getattr(self._reporter, name)

    def finish(self, lines: Sequence[str]) -> None:
        """Report the result."""
        self._reporter.finish([line for line in lines if not line.startswith("advice: ")])


def with_lessons(request: "TrainRequest", *, quiet: bool) -> "TrainRequest":
    """The request with all that its --from was taught as further data.

    Raises:
        ConfigError: there is no --from.
        RunError: --out is no place for a run.
    """
    import dataclasses

    from nextword.teach.lesson_export import LESSONS_DATA, write_lessons
    from nextword.training.run.run_dir import check_place

    if request.start is None:
        raise ConfigError("--lessons needs --from FOLDER, the model that was taught")
    check_place(request.out)
    path = request.out / "training" / LESSONS_DATA
    left_out = write_lessons(Path(request.start), path)
    if left_out and not quiet:
        click.echo(
            f"left out, since it is no reply: {count(left_out, 'single word')} that was corrected",
            err=True,
        )
    return dataclasses.replace(request, data=(*request.data, str(path)))


def _installed(package: str) -> bool:
    """Whether a package is there; it is not loaded."""
    import importlib.util

    return importlib.util.find_spec(package) is not None


def read_config(path: Path) -> dict[str, Any]:
    """The settings of a TOML file: those of TrainRequest, with tables [model] and [training].

    Raises:
        ConfigError: the file is missing or is not TOML.
    """
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def apply_options(values: dict[str, Any], options: dict[str, Any]) -> None:
    """Put the options that were given where they belong; they win over the file."""
    budgets = ("steps", "tokens", "minutes")
    if any(options.get(name) is not None for name in budgets):
        for name in budgets:
            values.pop(name, None)
    for name, value in options.items():
        if value is None:
            continue
        if name in PLACES:
            section, key = PLACES[name]
            values.setdefault(section, {})[key] = value
        else:
            values[name] = number_or_text(value) if name == "held_out" else value


def apply_setting(values: dict[str, Any], setting: str) -> None:
    """Put a `KEY=VALUE` of --set where it belongs; VALUE is written as in TOML.

    Raises:
        ConfigError: no `=`, or a key without its section.
    """
    import tomllib

    key, equals, text = setting.partition("=")
    section, dot, name = key.strip().partition(".")
    if not equals or not dot or section not in SECTIONS:
        raise ConfigError(
            f"--set {setting!r} is not SECTION.KEY=VALUE with a section of "
            f"{', '.join(SECTIONS)}; for example --set model.rotary_base=500.0"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a word without quotes
    values.setdefault(section, {})[name] = value


def number_or_text(value: str) -> float | str:
    """A share such as 0.1, or else the name of a file."""
    try:
        return float(value)
    except ValueError:
        return value


def request_from(values: dict[str, Any], data: tuple[str, ...], out: Path) -> "TrainRequest":
    """The TrainRequest of all that was given.

    Raises:
        ConfigError: an unknown setting or an impossible value.
    """
    import dataclasses

    from nextword.config import config_from
    from nextword.training.request import TrainRequest, refuse_beside_start

    allowed = {item.name for item in dataclasses.fields(TrainRequest)} - {"data", "out"}
    for key, value in values.items():
        if key not in allowed:
            raise ConfigError(unknown("setting", key, sorted(allowed)))
        if key in SECTIONS and not isinstance(value, dict):
            raise ConfigError(f"{key} is {value!r}; it must be a table, [{key}]")
    if values.get("start") is not None:
        refuse_beside_start(values.keys())  # also where a value is the default's
    return config_from(TrainRequest, {"data": data, "out": out} | values)

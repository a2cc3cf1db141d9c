"""Writes the pages of docs/ that repeat what the code says: commands, settings, glossary.

    python docs/generate.py          write the pages anew
    python docs/generate.py --check  write nothing; exit 1 and name the pages that are stale

Everything comes from the package: help texts from click, settings and their meaning from the
dataclasses and the comments beside their fields, the points from the table in interpret/points.py.
Nothing here loads torch.
"""

import ast
import dataclasses
import inspect
import io
import re
import sys
import textwrap
import tokenize
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from nextword import config, errors
from nextword.cli import main as cli
from nextword.cli.training.train import PLACES
from nextword.config import ModelConfig, ReplyConfig, RotaryScaling, TrainingConfig
from nextword.training.request import RESERVED, TrainRequest

DOCS = Path(__file__).resolve().parent
SOURCE = Path(inspect.getfile(errors)).parent
COLUMNS = 80  # of the help texts
MADE = "<!-- Made by docs/generate.py; change the code instead, then: make docs -->\n"


# --- commands ------------------------------------------------------------------------------------

EXIT_CODES = (
    (0, "It worked. `doctor`: Nextword works on this machine, or FOLDER is as saved."),
    (
        cli.FAILED,
        "Something that you can mend; one line on standard error says what was given, what is "
        "allowed and how to mend it. `--debug` shows the traceback. `doctor`: Nextword cannot "
        "work here. Also a pipe that was closed while Nextword wrote into it, or a "
        "standard output that was closed from the start.",
    ),
    (2, "The command was misspelt or misused: an unknown command or option, a missing argument."),
    (cli.BUG, "A bug in Nextword; please report the line, and what `--debug` shows."),
    (
        errors.StoppedError.exit_code,
        "`train` or `ladder` was asked to stop and has saved everything; the same command goes on.",
    ),
    (
        cli.INTERRUPTED,
        "Ctrl-C, where there was nothing to save: also while modules are loaded. It is how `serve` "
        "is ended; it closes everything first.",
    ),
    (cli.TERMINATED, "The same by SIGTERM."),
)


def commands_page() -> str:
    """The help of every command, and the exit codes."""
    parts = [
        "# Commands\n",
        MADE,
        "Every command explains itself with `--help`; this page is those texts, and the\n"
        "[exit codes](#exit-codes).\n",
        _fenced(help_of(cli.main, "nextword")),
    ]
    context = click.Context(cli.main, info_name="nextword")
    for name in cli.COMMANDS:
        command = cli.main.get_command(context, name)
        assert command is not None
        parts += [f"## nextword {name}\n", _fenced(help_of(command, f"nextword {name}"))]
    rows = [(str(code), meaning) for code, meaning in EXIT_CODES]
    parts += ["## Exit codes\n", table(("code", "meaning"), rows)]
    return "\n".join(parts)


def help_of(command: click.Command, name: str) -> str:
    """What `--help` prints, in a terminal of COLUMNS."""
    settings = dict(command.context_settings)
    with click.Context(command, info_name=name, terminal_width=COLUMNS, **settings) as context:
        return command.get_help(context)


def _fenced(text: str) -> str:
    return f"```text\n{text.strip()}\n```\n"


# --- settings ------------------------------------------------------------------------------------

SECTIONS: tuple[tuple[type, str, str], ...] = (
    (
        TrainRequest,
        "What a training is asked for",
        "The top level of a TOML file, or the option; in Python, the arguments of "
        "`nextword.train`. At most one of `steps`, `tokens` and `minutes` may be given.",
    ),
    (
        ModelConfig,
        "The model",
        "The table `[model]` of a TOML file, or `--set model.NAME=VALUE`; in Python, "
        '`nextword.train(…, model={…})` or the overrides of `nextword.preset("qwen3", …)`. '
        "The defaults below are those of `ModelConfig`; a preset changes some of them.",
    ),
    (
        RotaryScaling,
        "Rotary scaling",
        "The value of `rotary_scaling` in the model's settings: a table of its own.",
    ),
    (
        TrainingConfig,
        "Training",
        "The table `[training]` of a TOML file, or `--set training.NAME=VALUE`; in Python, "
        "`nextword.train(…, training={…})`.",
    ),
    (
        ReplyConfig,
        "Replies",
        "Options of `nextword reply` and `nextword chat`; in Python, "
        "`model.reply(prompt, config=nextword.ReplyConfig(…))`.",
    ),
)

SETTINGS_INTRODUCTION = """\
Every setting, its type or its choices, its default, and what it means. Unknown settings are
refused with the nearest match; impossible values with what is allowed.

A setting can be given in four places; the later one wins: the preset, a TOML file (`--config`), an
option of the command, and `--set`. A TOML file looks like this:

```toml
preset = "llama"
depth = 4
steps = 2000

[model]
rotary_base = 500.0

[training]
batch_size = 32
learning_rate = 2e-3
```
"""


def settings_page() -> str:
    """Every field of the dataclasses that a person can set."""
    parts = ["# Settings\n", MADE, SETTINGS_INTRODUCTION]
    for cls, title, where in SECTIONS:
        rows = list(_settings(cls))
        parts += [f"## {title}\n", _paragraph(where), _intention(cls)]
        parts += [table(("setting", "type or choices", "default", "option", "meaning"), rows)]
    return "\n".join(part for part in parts if part)


def _settings(cls: type) -> Iterator[tuple[str, str, str, str, str]]:
    hints = typing.get_type_hints(cls)
    meanings = described(cls) | comments(cls)
    for name, default in defaults(cls).items():
        kind = type_in_words(hints[name])
        yield f"`{name}`", kind, default, option_of(cls, name), meanings.get(name, "")


def _intention(cls: type) -> str:
    """The docstring of a dataclass without its list of attributes; its first line is the title."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:")[0]
    return "\n".join(_paragraph(part) for part in text.split("\n\n")[1:] if part.strip())


def fields_of(cls: type) -> dict[str, ast.AnnAssign]:
    """The fields of a dataclass as they stand in its source, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        node.target.id: node
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def defaults(cls: type) -> dict[str, str]:
    """The default of every field, written as in the source, or as in TOML where that differs."""
    source = textwrap.dedent(inspect.getsource(cls))
    made: dict[str, Any] = {item.name: item for item in dataclasses.fields(cls)}
    in_toml = {"True": "true", "False": "false", "()": "[]"}
    found: dict[str, str] = {}
    for name, node in fields_of(cls).items():
        if made[name].default_factory is not dataclasses.MISSING:
            found[name] = f"`{made[name].default_factory()!r}`"
        elif node.value is None:
            found[name] = "needed"
        elif made[name].default is None:
            found[name] = "–"
        else:
            text = ast.get_source_segment(source, node.value) or ""
            found[name] = f"`{in_toml.get(text, text)}`"
    return found


def comments(cls: type) -> dict[str, str]:
    """The comment at the end of each field's line."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    ends = {name: node.end_lineno or node.lineno for name, node in fields_of(cls).items()}
    return {name: lines[end] for name, end in ends.items() if end in lines}


def described(cls: type) -> dict[str, str]:
    """What the docstring says under `Attributes:`; one entry may be for several names."""
    _, _, text = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(text).strip()):
        names, colon, meaning = " ".join(entry.split()).partition(": ")
        if colon:
            found |= {name.strip(): meaning for name in names.split(",")}
    return found


def option_of(cls: type, name: str) -> str:
    """How a setting is given on the command line."""
    section = {ModelConfig: "model", TrainingConfig: "training"}.get(cls)
    places = {place: option for option, place in PLACES.items()}
    if section is None:
        if cls is RotaryScaling:
            return "`--config`"
        argument = {"data": "`DATA`", "model": "`--set model.…`", "training": "`--set training.…`"}
        return argument.get(name) or f"`--{name.replace('_', '-')}`"
    if (section, name) in places:
        return f"`--{places[section, name].replace('_', '-')}`"
    if name == "steps":
        return "`--steps`"
    if section == "model" and name in RESERVED:
        owner = RESERVED[name]
        return f"`{owner}`" if owner.startswith("--") else "`--vocab-size`"
    return "`--config`" if name == "rotary_scaling" else f"`--set {section}.{name}=…`"


def type_in_words(hint: Any) -> str:
    """A type as people say it; a Literal as its choices."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in inner)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_in_words(kind) for kind in inner if kind is not type(None))
    if origin is tuple:
        return f"list of {type_in_words(inner[0])}s"
    if origin is Mapping:
        return "table"
    names = {int: "whole number", float: "number", str: "text", bool: "true, false", Path: "path"}
    return names.get(hint) or f"[{hint.__name__}](#rotary-scaling)"


# --- glossary ------------------------------------------------------------------------------------

# the article, Nextword, nanoGPT, Hugging Face's Llama, TransformerLens
WORDS = (
    ("word", "token", "token", "token", "token"),
    ("dictionary", "vocabulary", "vocabulary", "vocabulary", "vocabulary"),
    ("embedding", "`token_embedding`", "`wte`", "`embed_tokens`", "`embed`"),
    ("position encoding", "`position`", "`wpe`", "`rotary_emb`", "`pos_embed`"),
    ("– (later models)", "`token_shift`", "–", "–", "–"),
    ("word_vector_i", "`residual`", "`x`", "`hidden_states`", "`resid_pre`"),
    ("Mq, query_vector_i", "`attention.query`", "`c_attn`", "`q_proj`", "`W_Q`, `q`"),
    ("Mk, key_vector_j", "`attention.key`", "`c_attn`", "`k_proj`", "`W_K`, `k`"),
    ("Mv, value_vector_j", "`attention.value`", "`c_attn`", "`v_proj`", "`W_V`, `v`"),
    ("weight before softmax", "`attention.scores`", "`att`", "attention weights", "`attn_scores`"),
    ("weight after softmax", "`attention.attention_weights`", "`att`", "attentions", "`pattern`"),
    ("vector_with_context(i)", "`attention.context`", "`y`", "attention output", "`z`"),
    ("residual link", "`residual_mid`", "`x + …`", "residual", "`resid_mid`"),
    ("– (later models)", "`feed_forward.output`", "`mlp`", "`mlp`", "`mlp_out`"),
    ("fully connected layer", "`unembedding`", "`lm_head`", "`lm_head`", "`unembed`"),
    ("result vector", "`logits`", "`logits`", "`logits`", "`logits`"),
    ("result after softmax", "`probabilities`", "`probs`", "–", "–"),
    ("end-of-sentence token", "end token, `<|end|>`", "–", "`eos_token`", "–"),
)
NOT_POINTS = {"unembedding", "<|end|>"}  # a layer and a token: named, but no value of the forward

LETTERS = (
    ("B", "sequences side by side", "`batch_size`"),
    ("T", "positions that ask (query)", "at most `context_length`"),
    ("S", "positions that are asked (key)", "at most `context_length`"),
    ("M", "model width", "`d_model`"),
    ("H", "heads", "`n_heads`"),
    ("K", "key/value heads", "`n_kv_heads`"),
    ("D", "width of a head", "`d_head`"),
    ("F", "width inside the feed-forward", "`d_ff`"),
    ("V", "tokens in the vocabulary", "`vocab_size`"),
)

GLOSSARY_INTRODUCTION = """\
One word for one thing, in the code, in the documentation and on the screen: the field's own term,
with the article's beside it.
"""
POINTS_INTRODUCTION = """\
Every value that a model computes between the text and the next token has a name, so that it can be
looked at: `model.trace(text, keep=["blocks.0.attention.*"])`. `N` is the number of the block,
counted from 0; the shapes are for one text, so there is no B. A model has a point if its settings
(see [settings](settings.md)) are as the last column says.
"""


@dataclasses.dataclass(frozen=True)
class PointRow:
    """A row of the table of points."""

    name: str
    shape: str
    meaning: str
    when: str


def glossary_page() -> str:
    """The words of the article and the field, and the table of points."""
    points = list(point_rows())
    _check_words({point.name.removeprefix("blocks.N.") for point in points})
    titles = ("the article", "Nextword", "nanoGPT", "Hugging Face (Llama)", "TransformerLens")
    rows = [(f"`{p.name}`", p.shape.replace(" ", " × "), p.meaning, p.when) for p in points]
    return "\n".join(
        [
            "# Glossary\n",
            MADE,
            GLOSSARY_INTRODUCTION,
            table(titles, WORDS),
            "## Letters of shapes\n",
            table(("letter", "what it counts", "setting"), LETTERS),
            "## Points\n",
            POINTS_INTRODUCTION,
            table(("point", "shape", "meaning", "present if"), rows),
        ]
    )


def _check_words(points: Iterable[str]) -> None:
    """Every name that the table of words gives for Nextword is one that the code has."""
    known = {*points, *NOT_POINTS}
    for row in WORDS:
        for name in re.findall(r"`([^`]+)`", row[1]):
            assert name in known, f"the glossary names {name!r}, which is no point of the code"


def point_rows() -> Iterator[PointRow]:
    """The points, read from the source of interpret/points.py: loading it would load torch."""
    tree = ast.parse((SOURCE / "interpret" / "points.py").read_text(encoding="utf-8"))
    known = conditions(tree) | properties()
    for node in tree.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.value, ast.Tuple):
            continue
        prefix = "blocks.N." if ast.unparse(node.target) == "BLOCK" else ""
        for call in node.value.elts:
            assert isinstance(call, ast.Call)
            name, shape, meaning = (ast.literal_eval(argument) for argument in call.args[:3])
            when = in_words(call.args[3], known) if len(call.args) > 3 else "always"
            yield PointRow(prefix + name, shape, meaning, when)


def conditions(tree: ast.Module) -> dict[str, ast.expr]:
    """What each one-line function of a module returns, by name."""
    return {
        node.name: node.body[-1].value
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and isinstance(node.body[-1], ast.Return)
        and node.body[-1].value is not None
    }


def properties() -> dict[str, ast.expr]:
    """What each truth-valued property of ModelConfig returns, by name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(ModelConfig))).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = conditions(ast.Module(body=list(tree.body), type_ignores=[]))
    return {name: value for name, value in found.items() if name in ("gated", "final_norm")}


class _Spelled(ast.NodeTransformer):
    """Puts the bodies of helper functions, properties and constants in the place of their names."""

    def __init__(self, known: Mapping[str, ast.expr]) -> None:
        self.known = known

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return self.visit(self.known[ast.unparse(node.func)])  # type: ignore[no-any-return]

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in self.known:
            return self.visit(self.known[node.attr])  # type: ignore[no-any-return]
        return ast.Name(id=node.attr)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        constant = getattr(config, node.id, None)
        return node if constant is None else ast.parse(repr(constant), mode="eval").body


def in_words(condition: ast.expr, known: Mapping[str, ast.expr]) -> str:
    """A condition on a ModelConfig, spelled out in its settings."""
    if isinstance(condition, ast.Lambda):
        body: ast.expr = condition.body
    else:
        body = known[ast.unparse(condition)]
    text = ast.unparse(_Spelled(known).visit(body)).replace("'", '"')
    return f"`{text}`"


# --- Markdown, and the command -------------------------------------------------------------------


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    cells = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 100, break_on_hyphens=False) + "\n"


def pages() -> dict[str, str]:
    """The content of every generated page, by the name of its file."""
    return {
        "commands.md": commands_page(),
        "settings.md": settings_page(),
        "glossary.md": glossary_page(),
    }


def stale(folder: Path = DOCS) -> list[str]:
    """The names of the pages whose files say something else, or are missing."""
    return [
        name
        for name, text in pages().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def write(folder: Path = DOCS) -> list[str]:
    """Write the pages that are stale; returns their names."""
    names = stale(folder)
    for name, text in pages().items():
        if name in names:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return names


def main(arguments: Sequence[str]) -> int:
    """The command; returns the exit code."""
    if arguments == ["--check"]:
        names = stale()
        for name in names:
            print(f"docs/{name} is stale; write it anew with: make docs", file=sys.stderr)
        return 1 if names else 0
    if arguments:
        print(f"{' '.join(arguments)!r} is unknown; allowed is: --check", file=sys.stderr)
        return 2
    for name in write():
        print(f"docs/{name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

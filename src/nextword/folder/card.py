"""The model card, README.md of a model folder: what it is, learned from, can do and cannot.

Only what was measured appears. Whatever came from a person is escaped: it stays text.
"""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nextword.config import ModelConfig
from nextword.folder.families import FAMILIES, family_of

CURVES = "training/curves.svg"
OWN = "nextword"
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+\-.!|~$^:=@])")
_PLAIN_NAME = re.compile(r"[\w./-]+")


@dataclass(frozen=True, kw_only=True)
class CardFacts:
    """What a card may say; None is left out.

    Attributes:
        name: of the model, usually its folder's.
        kind: "dialogue" or "text".
        n_parameters: how many numbers it learned.
        tokenizer: kind of tokenizer: words, characters, bpe.
        sources: one line for each source that it learned from.
        learned: "replies" where the prompts carried no loss, else "everything".
        seconds: of training.
        loss: held-out, nats per token.
        top1, top5, exact_replies, stop_rate: shares, 0 to 1.
        n_held_out_tokens, n_asked: how many tokens, and how many prompts, the results rest on.
        has_curves: whether `training/curves.svg` is there.
        nextword: the version that wrote it.
    """

    name: str
    kind: Literal["dialogue", "text"]
    config: ModelConfig
    n_parameters: int
    tokenizer: str | None = None
    sources: tuple[str, ...] = ()
    n_documents: int | None = None
    n_tokens: int | None = None
    learned: str | None = None
    steps: int | None = None
    tokens_per_step: int | None = None
    optimizer: str | None = None
    precision: str | None = None
    seconds: float | None = None
    machine: str | None = None
    loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    top1: float | None = None
    top5: float | None = None
    exact_replies: float | None = None
    stop_rate: float | None = None
    n_held_out_tokens: int | None = None
    n_asked: int | None = None
    has_curves: bool = False
    nextword: str | None = None


def model_card(facts: CardFacts) -> str:
    """The text of README.md, Markdown with a YAML front."""
    parts = (
        _front(facts),
        f"# {escape(facts.name)}",
        _what(facts),
        _section("What it learned from", _learned_from(facts)),
        _section("How it learned", _how(facts)),
        _section("Results", _results(facts)),
        _section("How to use it", _use(facts)),
        _section("Limits", _limits(facts)),
        _section("Licence", [LICENCE]),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


LICENCE = (
    "Not stated yet. Whoever publishes this model: say here, and at `license` in the front of this "
    "file, under which terms it may be used; the terms of the texts it learned from matter too."
)


def escape(text: str) -> str:
    """A person's text as one line of Markdown that shows exactly that text."""
    line = " ".join(text.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", line)


def _front(facts: CardFacts) -> str:
    family = family_of(facts.config)
    tags = ["text-generation", "nextword", facts.kind]
    if family != OWN:
        tags.append(family)
    lines = [
        "---",
        "library_name: nextword",
        "license: other  # please fill in: under which licence may this model be used?",
        "license_name: unspecified",
        "pipeline_tag: text-generation",
        "tags:",
        *(f"- {tag}" for tag in tags),
        f"model_name: {_quoted(facts.name)}",
        "---",
    ]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A person's text as a YAML string that no reader can take for a tag."""
    return json.dumps(" ".join(text.split())).replace("<", r"\u003c")


def _section(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"## {title}\n\n{text}" if text else ""


def _table(rows: Iterable[tuple[str, str | None]], *, heads: tuple[str, str]) -> list[str]:
    """The rows that have a value."""
    shown = [f"| {name} | {value} |" for name, value in rows if value is not None]
    return [f"| {heads[0]} | {heads[1]} |", "|---|---|", *shown] if shown else []


def _what(facts: CardFacts) -> str:
    """What it is, and its sizes."""
    config = facts.config
    does = "replies to a prompt" if facts.kind == "dialogue" else "goes on with a text"
    family = FAMILIES[family_of(config)]
    sizes = _table(
        (
            ("parameters", _count(facts.n_parameters)),
            ("architecture", f"{family.architecture} ({family.name})"),
            ("vocabulary", f"{_count(config.vocab_size)} tokens"),
            ("tokenizer", _text(facts.tokenizer)),
            ("context window", f"{_count(config.context_length)} tokens"),
            ("width (d_model)", _count(config.d_model)),
            ("blocks (n_layers)", _count(config.n_layers)),
            ("heads", f"{config.n_heads} of {config.head_width}, {config.kv_heads} key/value"),
            ("feed-forward", f"{config.feed_forward}, {_count(config.ff_width)} wide"),
            ("position", config.position),
            ("norm", config.norm),
        ),
        heads=("size", "value"),
    )
    by = "Nextword" if facts.nextword is None else f"Nextword {escape(facts.nextword)}"
    first = f"A decoder-only transformer that {does}, token by token. Made with {by}."
    return "\n".join([first, "", *sizes])


def _learned_from(facts: CardFacts) -> list[str]:
    sources = [f"- {escape(source)}" for source in facts.sources]
    amount = _table(
        (
            ("documents", _count(facts.n_documents)),
            ("tokens", _count(facts.n_tokens)),
            ("kind", facts.kind if sources or facts.n_tokens is not None else None),
            ("loss on", _text(facts.learned)),
        ),
        heads=("amount", "value"),
    )
    gap = [""] if sources and amount else []
    return [*sources, *gap, *amount]


def _how(facts: CardFacts) -> list[str]:
    rows = _table(
        (
            ("steps", _count(facts.steps)),
            ("tokens per step", _count(facts.tokens_per_step)),
            ("optimizer", _text(facts.optimizer)),
            ("precision", _text(facts.precision)),
            ("time", None if facts.seconds is None else _duration(facts.seconds)),
            ("machine", _text(facts.machine)),
        ),
        heads=("setting", "value"),
    )
    curves = f"![Loss over the steps of training]({CURVES})"
    return [*rows, *([""] if rows else []), curves] if facts.has_curves else rows


def _results(facts: CardFacts) -> list[str]:
    rows = _table(
        (
            ("held-out loss, nats per token", _number(facts.loss)),
            ("perplexity", _number(facts.perplexity)),
            ("bits per byte", _number(facts.bits_per_byte)),
            ("next token right (top-1)", _share(facts.top1)),
            ("next token among five (top-5)", _share(facts.top5)),
            ("replies exactly as expected", _share(facts.exact_replies)),
            ("replies that end by themselves", _share(facts.stop_rate)),
        ),
        heads=("measure", "value"),
    )
    bases = (
        (facts.n_held_out_tokens, "held-out tokens that it never learned from"),
        (facts.n_asked, "prompts"),
    )
    told = [f"{_count(number)} {what}" for number, what in bases if number is not None]
    note = ["", f"Measured on {' and '.join(told)}."] if told else []
    return [*rows, *note] if rows else []


def _use(facts: CardFacts) -> list[str]:
    """At the command line, in Python, and with transformers where it knows the family."""
    folder = facts.name if _PLAIN_NAME.fullmatch(facts.name) else "path/to/this/folder"
    quoted = json.dumps(folder)
    lines = [
        "```sh",
        f"nextword reply {shlex.quote(folder)} 'a prompt'",
        "```",
        "",
        "```python",
        "import nextword",
        "",
        f"model = nextword.load({quoted})",
        'print(model.reply("a prompt").text)',
        "```",
    ]
    if family_of(facts.config) == OWN:
        return [*lines, "", "No standard family has this architecture: Nextword alone reads it."]
    return [*lines, "", "With transformers:", "", *_with_transformers(facts, quoted)]


def _with_transformers(facts: CardFacts, quoted: str) -> list[str]:
    """The same prompt through transformers."""
    encode = {
        "dialogue": "tokenizer.apply_chat_template(\n"
        '    [{"role": "user", "content": "a prompt"}],\n'
        '    add_generation_prompt=True, return_dict=True, return_tensors="pt",\n'
        ")",
        "text": 'tokenizer("a prompt", return_tensors="pt")',
    }[facts.kind]
    return [
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({quoted})",
        f"model = AutoModelForCausalLM.from_pretrained({quoted})",
        f"prompt = {encode}",
        "ids = model.generate(**prompt, max_new_tokens=100)",
        'print(tokenizer.decode(ids[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))',
        "```",
    ]


def _limits(facts: CardFacts) -> list[str]:
    """What holds for every model of this kind, and what was not measured of this one."""
    window = _count(facts.config.context_length)
    lines = [
        "- It knows nothing but what its texts say, mistakes and prejudices included.",
        "- A reply is the likely next token again and again: fluent is not the same as true.",
        f"- It looks back on at most {window} tokens; what came before has no effect.",
        "- Nobody has checked it for safety; keep a person between it and any decision.",
    ]
    if facts.loss is None:
        lines.append("- It was not measured on held-out text, so how well it generalises is open.")
    if facts.kind == "dialogue" and facts.stop_rate is None:
        lines.append("- How often its replies end by themselves was not measured.")
    if facts.tokenizer in ("words", "characters"):
        lines.append(f"- It knows only the {facts.tokenizer} of its vocabulary.")
    return lines


def _text(value: str | None) -> str | None:
    return None if value is None else escape(value)


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}" if value >= 1000 else f"{value:.4f}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f} %"


def _duration(seconds: float) -> str:
    """In the largest units that say something: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"

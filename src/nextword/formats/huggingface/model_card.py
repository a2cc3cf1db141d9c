"""The model card, README.md of a model folder: what it is, learned from, can do and cannot.

Only what was measured appears. Whatever came from a person is escaped: it stays text.
"""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Literal

from nextword.common.markdown import (
    count,
    duration,
    enumerated,
    escape,
    number,
    percent,
    section,
    table,
    text_or_none,
)
from nextword.config import ModelConfig
from nextword.formats.huggingface.families import FAMILIES, family_of

CURVES = "training/curves.svg"
OWN = "nextword"
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
        loss, training_loss: held-out, and measured in the same way on what it learned from.
        top1, top5, exact_replies, stop_rate: shares, 0 to 1.
        copied, usually_copied: shares of its outputs, and of real text, in the training text.
        n_given, n_given_exact, given_ended: the replies that it was given to learn, how many it
            gives word for word, and the share of them that end by themselves.
        n_phrasings, n_phrasings_right: other phrasings of prompts, and how many are answered right.
        held_out_until: the step after which the held-out part was measured and then learned.
        n_held_out_tokens, n_asked, n_outputs: what the results rest on.
        advice: what would make it better, and on what grounds.
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
    training_loss: float | None = None
    perplexity: float | None = None
    bits_per_byte: float | None = None
    top1: float | None = None
    top5: float | None = None
    exact_replies: float | None = None
    stop_rate: float | None = None
    copied: float | None = None
    usually_copied: float | None = None
    n_given: int | None = None
    n_given_exact: int | None = None
    given_ended: float | None = None
    n_phrasings: int | None = None
    n_phrasings_right: int | None = None
    held_out_until: int | None = None
    n_held_out_tokens: int | None = None
    n_asked: int | None = None
    n_outputs: int | None = None
    advice: str | None = None
    has_curves: bool = False
    nextword: str | None = None


def model_card(facts: CardFacts) -> str:
    """The text of README.md, Markdown with a YAML front."""
    parts = (
        _front(facts),
        f"# {escape(facts.name)}",
        _what(facts),
        section("What it learned from", _learned_from(facts)),
        section("How it learned", _how(facts)),
        section("Results", _results(facts)),
        section("How to use it", _use(facts)),
        section("Limits", _limits(facts)),
        section("Licence", [LICENCE]),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


LICENCE = (
    "Not stated yet. Whoever publishes this model: say here, and at `license` in the front of this "
    "file, under which terms it may be used; the terms of the texts it learned from matter too."
)


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


def _what(facts: CardFacts) -> str:
    """What it is, and its sizes."""
    config = facts.config
    does = "replies to a prompt" if facts.kind == "dialogue" else "goes on with a text"
    family = FAMILIES[family_of(config)]
    sizes = table(
        (
            ("parameters", count(facts.n_parameters)),
            ("architecture", f"{family.architecture} ({family.name})"),
            ("vocabulary", f"{count(config.vocab_size)} tokens"),
            ("tokenizer", text_or_none(facts.tokenizer)),
            ("context window", f"{count(config.context_length)} tokens"),
            ("width (d_model)", count(config.d_model)),
            ("blocks (n_layers)", count(config.n_layers)),
            ("heads", f"{config.n_heads} of {config.head_width}, {config.kv_heads} key/value"),
            ("feed-forward", f"{config.feed_forward}, {count(config.ff_width)} wide"),
            ("token shift", count(config.token_shift or None)),
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
    amount = table(
        (
            ("documents", count(facts.n_documents)),
            ("tokens", count(facts.n_tokens)),
            ("kind", facts.kind if sources or facts.n_tokens is not None else None),
            ("loss on", text_or_none(facts.learned)),
        ),
        heads=("amount", "value"),
    )
    gap = [""] if sources and amount else []
    return [*sources, *gap, *amount]


def _how(facts: CardFacts) -> list[str]:
    rows = table(
        (
            ("steps", count(facts.steps)),
            ("tokens per step", count(facts.tokens_per_step)),
            ("optimizer", text_or_none(facts.optimizer)),
            ("precision", text_or_none(facts.precision)),
            ("time", None if facts.seconds is None else duration(facts.seconds)),
            ("machine", text_or_none(facts.machine)),
        ),
        heads=("setting", "value"),
    )
    curves = f"![Loss over the steps of training]({CURVES})"
    return [*rows, *([""] if rows else []), curves] if facts.has_curves else rows


def _results(facts: CardFacts) -> list[str]:
    rows = table(
        (
            ("replies as given", _of(facts.n_given_exact, facts.n_given)),
            ("of these prompts, replies that end by themselves", percent(facts.given_ended)),
            ("other phrasings answered right", _of(facts.n_phrasings_right, facts.n_phrasings)),
            ("held-out loss, nats per token", number(facts.loss)),
            ("training loss, measured in the same way", number(facts.training_loss)),
            ("perplexity", number(facts.perplexity)),
            ("bits per byte", number(facts.bits_per_byte)),
            ("next token right (top-1)", percent(facts.top1)),
            ("next token among five (top-5)", percent(facts.top5)),
            ("replies exactly as expected", percent(facts.exact_replies)),
            ("replies that end by themselves", percent(facts.stop_rate)),
            ("outputs that stand word for word in the training text", percent(facts.copied)),
            ("the same of real text", percent(facts.usually_copied)),
        ),
        heads=("measure", "value"),
    )
    unlearned = "held-out tokens that it never learned from"
    if facts.held_out_until is not None:
        unlearned = f"held-out tokens, before they were learned after step {facts.held_out_until}"
    bases = (
        (facts.n_held_out_tokens, unlearned),
        (facts.n_asked, "prompts"),
        (facts.n_outputs, "outputs of 20 tokens, or shorter replies"),
    )
    told = [f"{count(many)} {what}" for many, what in bases if many is not None]
    note = ["", f"Measured on {enumerated(told)}."] if told else []
    advice = ["", f"Advice: {escape(facts.advice)}."] if facts.advice is not None else []
    return [*rows, *note, *advice] if rows else []


def _of(part: int | None, everything: int | None) -> str | None:
    return None if part is None or everything is None else f"{part:,} of {everything:,}"


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
        what = "token shift" if facts.config.token_shift else "this architecture"
        return [*lines, "", f"No standard family has {what}: Nextword alone reads it."]
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
    window = count(facts.config.context_length)
    lines = [
        "- It knows nothing but what its texts say, mistakes and prejudices included.",
        "- A reply is the likely next token again and again: fluent is not the same as true.",
        f"- It looks back on at most {window} tokens; what came before has no effect.",
        "- Nobody has checked it for safety; keep a person between it and any decision.",
    ]
    if facts.loss is None and facts.n_phrasings is None:
        lines.append("- It was not measured on held-out text, so how well it generalises is open.")
    if facts.kind == "dialogue" and facts.stop_rate is None and facts.given_ended is None:
        lines.append("- How often its replies end by themselves was not measured.")
    if facts.tokenizer in ("words", "characters"):
        lines.append(f"- It knows only the {facts.tokenizer} of its vocabulary.")
    return lines

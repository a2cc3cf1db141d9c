"""Say in a few lines what a run learns from: how much, what is held out, and the first pair."""

from collections.abc import Iterator
from dataclasses import dataclass

from nextword.common.text_format import visible
from nextword.data.prepared import Prepared
from nextword.data.samples.datasets import Samples
from nextword.data.samples.packed_dialogues import Rows
from nextword.data.samples.splits import ENOUGH_DOCUMENTS
from nextword.data.shards.token_shards import Shards

SHOWN = 72  # characters of a prompt, a reply or a text
ELLIPSIS = "…"

Fact = tuple[str, str]


@dataclass(frozen=True)
class Excerpt:
    """The first exchange of a training sample, or the beginning of its text.

    Attributes:
        prompt: as the model sees it, special tokens included; None for plain text.
        reply: as the model learns it, special tokens included; or the text.
        is_cut: whether something stands before the prompt that the model does not see.
    """

    prompt: str | None
    reply: str
    is_cut: bool


def data_facts(data: Prepared, samples: Samples) -> list[Fact]:
    """Return names and values, to be printed before training; a value is one short line."""
    return [
        ("", _size(data)),
        *_duplicates(data),
        ("held out", held_out_line(data)),
        *_first(data, samples),
    ]


def _size(data: Prepared) -> str:
    return f"{_count(data.shards.n_documents, data)}, {data.shards.n_tokens:,} tokens"


def _count(number: int, data: Prepared) -> str:
    name = "dialogue" if data.is_dialogue else "document"
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _duplicates(data: Prepared) -> Iterator[Fact]:
    if data.duplicates:
        verb = "equals one" if data.duplicates == 1 else "equal ones"
        yield "duplicates", f"{_count(data.duplicates, data)} {verb} before"


def held_out_line(data: Prepared) -> str:
    """Say what is held out, and how much of it stands in training too."""
    if data.held_out is None:
        enough = data.share and data.shards.n_documents >= ENOUGH_DOCUMENTS
        unique = enough and data.aim == "answers"
        return "nothing: no reply stands after different prompts" if unique else "nothing"
    shards, part = data.held_out
    source = "" if shards is data.shards else f" of {_names(shards)}"
    line = f"{_count(part.n_documents, data)}{source}, {part.n_tokens:,} tokens"
    found = data.overlap
    if found is None:
        return line
    if data.learns_held_out:
        return f"{line}: other phrasings of prompts whose replies are learned"
    shared = [("prompts", found.prompts), ("replies", found.replies)]
    if not data.is_dialogue:
        shared = [("texts", found.documents)]
    some = [f"{count:,} {name}" for name, count in shared if count]
    return f"{line}; in training too: {' and '.join(some) or 'none of it'}"


def _names(shards: Shards) -> str:
    """The name of the first file, and how many there are besides."""
    more = len(shards.corpus) - 1
    return f"{shards.corpus[0]['name']}{f' and {more} more' if more else ''}"


def _first(data: Prepared, samples: Samples) -> Iterator[Fact]:
    """Show the first sample as it will be learned."""
    found = first_excerpt(data, samples)
    if found.prompt is None:
        yield "first text", shortened(found.reply)
        return
    prompt = shortened(found.prompt)
    yield "first pair", f"{ELLIPSIS} {prompt}" if found.is_cut else prompt
    yield "", f"→ {shortened(found.reply)}"


def first_excerpt(data: Prepared, samples: Samples) -> Excerpt:
    """Return the beginning of the first sample, decoded from its tokens."""
    decode = data.tokenizer.decode
    if not isinstance(samples, Rows):
        tokens = samples.batch(0, 1)[0][0]
        return Excerpt(None, decode(tokens[: 2 * SHOWN].tolist(), keep_special=True), False)
    start, stop = samples.first_segment()
    ids = data.shards.tokens(start, stop).tolist()
    is_reply = [*data.shards.replies(start, stop).tolist(), False]
    begin = is_reply.index(True) if any(is_reply) else len(ids)
    end = is_reply.index(False, begin)
    starts = set(data.shards.document_starts.tolist()) if data.cut.dialogues else {start}
    return Excerpt(
        decode(ids[:begin], keep_special=True),
        decode(ids[begin:end], keep_special=True),
        start not in starts,
    )


def shortened(text: str) -> str:
    """Return a text in one line; of a long one the first words and the last."""
    line = visible(text.strip())
    if len(line) <= SHOWN:
        return line
    half = (SHOWN - 3) // 2
    first, _, _ = line[: half + 1].rpartition(" ")
    _, _, last = line[-half - 1 :].partition(" ")
    return f"{first or line[:half]} {ELLIPSIS} {last or line[-half:]}"

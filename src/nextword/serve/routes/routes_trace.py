"""What the page sees: one function for each route of `/api/see`, from a trace to an answer."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nextword.serve.schemas import (
    AccountFor,
    AtHead,
    AtPosition,
    AtRow,
    EquationOf,
    LensAt,
    NextAfter,
    Sentence,
)

if TYPE_CHECKING:
    from nextword.interpret.logit_attribution import Account
    from nextword.interpret.trace import Trace

TOP_CONTRIBUTIONS = 24
TOP_WORDS = 10
EXACT_UP_TO = 128  # tokens; the map of a longer sentence is of bytes, for colours only


@dataclass(frozen=True)
class Json:
    """An answer of plain values and dataclasses."""

    value: Any


@dataclass(frozen=True)
class Tensors:
    """An answer of named tensors, with what belongs to them."""

    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any] = field(default_factory=dict)


Answer = Json | Tensors


def ends(trace: "Trace", body: AtPosition) -> Answer:
    """Where a word comes in and goes out: each [M]."""
    layers = trace.config.n_layers
    names = {
        "token_embedding": "token_embedding",
        "token_shift": "token_shift",
        "position": "position",
        "residual": "residual",
        "last_residual": f"blocks.{layers - 1}.residual_post" if layers else "residual",
        "final_norm": "final_norm",
    }
    there = {short: name for short, name in names.items() if name in trace}
    return Tensors({short: trace.row(name, body.position) for short, name in there.items()})


def row(trace: "Trace", body: AtRow) -> Answer:
    """Every value of one layer at one position, by full name."""
    rows = trace.rows(body.layer, body.position)
    return Tensors({f"blocks.{body.layer}.{name}": value for name, value in rows.items()})


def past(trace: "Trace", body: AtHead) -> Answer:
    """What a head looks back on: keys and values of every word, [S, D]."""
    return Tensors(trace.past(body.layer, body.head))


def head_map(trace: "Trace", body: AtHead) -> Answer:
    """A head's weights [T, S]; of a long sentence as bytes."""
    weights = trace.head_map(body.layer, body.head)
    if len(body.ids) > EXACT_UP_TO:
        weights = (weights * 255).round().to(torch.uint8)
    return Tensors({"attention_weights": weights})


def overview(trace: "Trace", body: Sentence) -> Answer:
    """All heads at once, small."""
    seen = trace.overview()
    names = ("weights", "previous", "first", "entropy")
    return Tensors({name: getattr(seen, name) for name in names})


def account(trace: "Trace", body: AccountFor) -> Answer:
    """A logit as a sum."""
    made = trace.account(body.position, token=body.token, against=body.against)
    return Tensors({"heads": made.heads}, _account_meta(made))


def _account_meta(made: "Account") -> dict[str, Any]:
    """All of an account but the tensor, with its groups."""
    names = [item.name for item in dataclasses.fields(made) if item.name != "heads"]
    return {name: getattr(made, name) for name in names} | {
        "top": made.contributions(TOP_CONTRIBUTIONS),
        "by_layer": made.by_layer(),
        "by_kind": made.by_kind(),
        "by_word": [item.amount for item in made.by_word()],
        "by_head": [item.amount for item in made.by_head()],
    }


def narrate(trace: "Trace", body: AtPosition) -> Answer:
    """The account in plain sentences."""
    return Json(trace.narrate(body.position))


def lens(trace: "Trace", body: LensAt) -> Answer:
    """The next word as it would be read off after each layer."""
    return Json(trace.lens(body.positions, top=1))


def next_words(trace: "Trace", body: NextAfter) -> Answer:
    """The most likely next words, the actual one among them."""
    return Json(trace.next_words(body.position, top=TOP_WORDS, token=body.token))


def equation(trace: "Trace", body: EquationOf) -> Answer:
    """How one number came about."""
    return Json(trace.equation(body.name, body.index))


# route: (the body it takes, what answers); a function takes just the kind of body beside it
ROUTES: dict[str, tuple[type[Sentence], Callable[["Trace", Any], Answer]]] = {
    "/api/see/ends": (AtPosition, ends),
    "/api/see/row": (AtRow, row),
    "/api/see/past": (AtHead, past),
    "/api/see/map": (AtHead, head_map),
    "/api/see/overview": (Sentence, overview),
    "/api/see/account": (AccountFor, account),
    "/api/see/narrate": (AtPosition, narrate),
    "/api/see/lens": (LensAt, lens),
    "/api/see/next": (NextAfter, next_words),
    "/api/see/equation": (EquationOf, equation),
}

"""The one table of what can be seen in a forward: name, shape, meaning.

Shapes use the design's letters: T query positions, S key positions, M model width, H heads,
K key/value heads, D head width, F feed-forward width, V vocabulary. One sentence, so no batch.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from nextword.config import ModelConfig
from nextword.errors import ConfigError, unknown


def _always(_: ModelConfig) -> bool:
    return True


@dataclass(frozen=True)
class Point:
    """One value of the forward.

    Attributes:
        name: its stable name; in a block, the part after `blocks.N.`.
        shape: its dimensions, as letters.
        meaning: one line, in the article's words.
        present: whether a model of this config has it.
    """

    name: str
    shape: str
    meaning: str
    present: Callable[[ModelConfig], bool] = _always

    def sizes(self, config: ModelConfig, tokens: int) -> tuple[int, ...]:
        """The shape in numbers for a sentence of `tokens` tokens."""
        letters = {
            "T": tokens,
            "S": tokens,
            "M": config.d_model,
            "H": config.n_heads,
            "K": config.kv_heads,
            "D": config.head_width,
            "F": config.ff_width,
            "V": config.vocab_size,
        }
        return tuple(letters[letter] for letter in self.shape.split())


def _token_shift(config: ModelConfig) -> bool:
    return config.token_shift > 0


def _added_position(config: ModelConfig) -> bool:
    return config.position in ("sinusoidal", "learned")


def _rotary(config: ModelConfig) -> bool:
    return config.position == "rotary"


def _query_key_norm(config: ModelConfig) -> bool:
    return config.query_key_norm


def _norm_before(config: ModelConfig) -> bool:
    return config.norm != "none" and config.norm_placement == "before"


def norm_after(config: ModelConfig) -> bool:
    """Whether norms come after the sublayers."""
    return config.norm != "none" and config.norm_placement == "after"


def _feed_forward(config: ModelConfig) -> bool:
    return config.feed_forward != "none"


def _feed_forward_norm_before(config: ModelConfig) -> bool:
    return _feed_forward(config) and _norm_before(config)


def _feed_forward_norm_after(config: ModelConfig) -> bool:
    return _feed_forward(config) and norm_after(config)


def _scaled(config: ModelConfig) -> bool:
    return config.scaled_scores or config.attention_soft_cap is not None


ENTRY: tuple[Point, ...] = (
    Point("token_embedding", "T M", "each token's own vector"),
    Point("token_shift", "T M", "what the earlier words' own vectors add", _token_shift),
    Point("position", "T M", "the vector of each place", _added_position),
    Point("residual", "T M", "the word vectors: what enters the first block"),
)
BLOCK: tuple[Point, ...] = (
    Point("residual_pre", "T M", "the residual as it enters this block"),
    Point("attention_norm", "T M", "the residual brought to a standard length", _norm_before),
    Point("attention.query", "H T D", "what each token asks: Mq × word vector"),
    Point("attention.key", "K S D", "what each token offers to be found by: Mk × word vector"),
    Point("attention.value", "K S D", "what each token passes on: Mv × word vector"),
    Point("attention.query_norm", "H T D", "queries at a standard length", _query_key_norm),
    Point("attention.key_norm", "K S D", "keys at a standard length", _query_key_norm),
    Point("attention.query_rotated", "H T D", "queries turned by their place", _rotary),
    Point("attention.key_rotated", "K S D", "keys turned by their place", _rotary),
    Point("attention.scores", "H T S", "query · key: how related two tokens are"),
    Point(
        "attention.scaled_scores",
        "H T S",
        "scores divided by the square root of the head width, then soft-capped if asked",
        _scaled,
    ),
    Point("attention.masked_scores", "H T S", "scores with every later token at minus infinity"),
    Point(
        "attention.attention_weights", "H T S", "softmax of the masked scores; each row sums to 1"
    ),
    Point("attention.context", "H T D", "the weighted sum of the values"),
    Point("attention.output", "T M", "what attention adds to the residual"),
    Point("attention_norm", "T M", "residual and attention, at a standard length", norm_after),
    Point("residual_mid", "T M", "the residual with attention added"),
    Point("feed_forward_norm", "T M", "that, at a standard length", _feed_forward_norm_before),
    Point("feed_forward.gate", "T F", "how far each hidden unit opens", lambda c: c.gated),
    Point("feed_forward.up", "T F", "each hidden unit before it is switched", _feed_forward),
    Point("feed_forward.hidden", "T F", "each hidden unit as it is used", _feed_forward),
    Point(
        "feed_forward.output", "T M", "what the feed-forward adds to the residual", _feed_forward
    ),
    Point("feed_forward_norm", "T M", "the sum, at a standard length", _feed_forward_norm_after),
    Point("residual_post", "T M", "the residual as it leaves this block"),
)
EXIT: tuple[Point, ...] = (
    Point("final_norm", "T M", "the last residual at a standard length", lambda c: c.final_norm),
    Point("logits", "T V", "the result vector: one number for each token of the vocabulary"),
    Point("probabilities", "T V", "softmax of the logits: how likely each next token is"),
)


def points_of(config: ModelConfig) -> dict[str, Point]:
    """Every point of a model of this config, by full name, in the order in which they fire."""
    points = {point.name: point for point in ENTRY if point.present(config)}
    for layer in range(config.n_layers):
        for point in BLOCK:
            if point.present(config):
                points[f"blocks.{layer}.{point.name}"] = point
    return points | {point.name: point for point in EXIT if point.present(config)}


def chosen(
    patterns: Iterable[str], config: ModelConfig, layers: Collection[int] | None = None
) -> set[str]:
    """The full names that any of `patterns` (with `*`) matches.

    Args:
        patterns: names, `*` for any part.
        config: the model's.
        layers: of the points in blocks, only those of these layers; None: of all.

    Raises:
        ConfigError: a pattern matches no point of this model (names the nearest), or there is no
            such layer.
    """
    names = list(points_of(config))
    for layer in layers or ():
        check_place("layer", layer, config.n_layers)
    left_out = {
        f"blocks.{layer}."
        for layer in range(config.n_layers)
        if layers is not None and layer not in layers
    }
    found: set[str] = set()
    for pattern in patterns:
        hits = matching_names(pattern, names)
        found.update(name for name in hits if not name.startswith(tuple(left_out)))
    return found


def matching_names(pattern: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that `pattern` (with `*`) matches, in their order.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    names = list(names)
    hits = [name for name in names if fnmatchcase(name, pattern)]
    if not hits:
        raise ConfigError(_no_point(pattern, names))
    return hits


def check_point(name: str, names: Collection[str]) -> None:
    """Refuse a name that is none of `names`.

    Raises:
        ConfigError: names the nearest, or the blocks that there are.
    """
    if name not in names:
        raise ConfigError(_no_point(name, list(names)))


def _no_point(name: str, names: Sequence[str]) -> str:
    """Return the message for the name of a point that is not there, with `*` or without."""
    asked = re.match(r"blocks\.(-?\d+)\.", name)
    blocks = {int(found[1]) for item in names if (found := re.match(r"blocks\.(\d+)\.", item))}
    if asked is None or int(asked[1]) in blocks:
        return unknown("point", name, names)
    return f"{name!r} names block {asked[1]}; {_have(sorted(blocks))}"


def _have(blocks: Sequence[int]) -> str:
    if len(blocks) < 2:
        return "there is only block 0" if blocks else "this model has no blocks"
    return f"there are blocks {blocks[0]} to {blocks[-1]}"


def check_place(what: str, number: int, count: int) -> int:
    """`number`, counted from the end where it is below 0, as one of 0 … count - 1.

    Args:
        what: the kind of thing, e.g. `"layer"`.
        number: which one was asked for.
        count: how many there are.

    Raises:
        ConfigError: there is no such one; says which there are.
    """
    if not -count <= number < count:
        have = {0: "there is none", 1: f"the only {what} is 0"}.get(
            count, f"it must be 0 to {count - 1}, or -{count} to -1 to count from the end"
        )
        raise ConfigError(f"{what} is {number}; {have}")
    return number % count


def check_top(top: int) -> None:
    """Refuse to name less than one.

    Raises:
        ConfigError: top below 1.
    """
    if top < 1:
        raise ConfigError(f"top is {top}; it must be at least 1")


def split_name(name: str) -> tuple[int, str]:
    """`blocks.2.attention.query` → 2 and `attention.query`; -1 for a name outside of blocks."""
    first, _, rest = name.partition(".")
    if first != "blocks":
        return -1, name
    layer, _, short = rest.partition(".")
    return int(layer), short

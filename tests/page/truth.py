"""Every number that the page may show of the article's model, in plain numpy and float64.

The model is the seed preset at width 2 over five words. Its weights, below, were trained on the
article's two dialogues and rounded; it predicts every word of them. Nothing here knows torch or the
package: the article's sentences in order, then the same values under the names that
the page gives its numbers (`blocks.0.attention.query[0,3,1]`, `account.by_word.2`).
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

WORDS = ("what", "is", "nextword", "awesome")  # and the end token, which is the fifth
WIDTH = 2
WEIGHTS: dict[str, list[Any]] = {  # rows: four words, <|unknown|>, <|end|>, <|pad|>
    "token_embedding.weight": [
        [-0.27, -0.65], [1.65, 1.17], [-1.16, -0.49], [0.27, -1.57],
        [0.04, 0.02], [1.44, 0.71], [0.62, 0.01],
    ],
    "blocks.0.attention.query.weight": [[-0.11, -1.14], [-0.07, -0.39]],
    "blocks.0.attention.key.weight": [[1.03, 0.94], [0.52, 0.15]],
    "blocks.0.attention.value.weight": [[1.69, -1.75], [-0.74, -1.87]],
    "unembedding.weight": [
        [-0.76, 1.94], [-1.91, 0.44], [1.09, 1.17], [1.16, 0.28],
        [-0.26, 1.79], [-0.82, -1.12], [-0.34, 1.87],
    ],
    "unembedding.bias": [1.13, 0.9, 0.1, 0.9, -1.77, -0.51, -0.02],
}  # fmt: skip
SHARES = [[0.53, -0.31], [-0.17, 0.71]]  # of token shift, where a model has it: 1 and 2 words back


def article(ids: Sequence[int], *, shares: Sequence[Sequence[float]] = ()) -> dict[str, Array]:
    """Every value of the forward over a sentence, by the name of its point.

    Args:
        ids: [T] numbers of words.
        shares: [K, M] of token shift: of the word before, of the one before that, and so on.

    Returns:
        name → value, with the axes of the point: one head, one layer.
    """
    weights = {name: np.array(rows, np.float64) for name, rows in WEIGHTS.items()}
    embedding = weights["token_embedding.weight"][list(ids)]  # [T, M]
    position = np.array([encoding(i) for i in range(len(ids))])  # [T, M]
    shift = sum(shifted(embedding, shares).values(), np.zeros_like(embedding))
    residual = embedding + shift + position
    query, key, value = (
        residual @ weights[f"blocks.0.attention.{name}.weight"].T
        for name in ("query", "key", "value")
    )
    scores = query @ key.T  # [T, S]
    masked = np.where(np.tri(len(ids), dtype=bool), scores, -np.inf)
    attention = softmax(masked)
    context = attention @ value
    after = residual + context
    logits = after @ weights["unembedding.weight"].T + weights["unembedding.bias"]  # [T, V]
    in_block = {
        "residual_pre": residual,
        "attention.query": query[None],
        "attention.key": key[None],
        "attention.value": value[None],
        "attention.scores": scores[None],
        "attention.masked_scores": masked[None],
        "attention.attention_weights": attention[None],
        "attention.context": context[None],
        "attention.output": context,
        "residual_mid": after,
        "residual_post": after,
    }
    return {
        "token_embedding": embedding,
        **({"token_shift": shift} if shares else {}),
        "position": position,
        "residual": residual,
        **{f"blocks.0.{name}": array for name, array in in_block.items()},
        "logits": logits,
        "probabilities": softmax(logits),
    }


def shifted(embedding: Array, shares: Sequence[Sequence[float]]) -> dict[int, Array]:
    """What token shift adds to each word from so many words back: back → [T, M]."""
    added = {}
    for back, share in enumerate(shares, start=1):
        added[back] = np.zeros_like(embedding)
        added[back][back:] = np.array(share) * embedding[:-back]
    return added


def encoding(position: int) -> list[float]:
    """Sine and cosine of ever slower waves (Vaswani et al. 2017)."""
    waves = [position / 10000 ** (2 * (d // 2) / WIDTH) for d in range(WIDTH)]
    return [(math.sin, math.cos)[d % 2](wave) for d, wave in enumerate(waves)]


def softmax(x: Array) -> Array:
    """Of each row."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def account(
    values: dict[str, Array],
    i: int,
    token: int,
    against: int | None,
    *,
    shares: Sequence[Sequence[float]] = (),
) -> dict[str, float]:
    """A logit, or the difference of two, as a sum of what each part added to it.

    Args:
        values: of `article`.
        i: the position.
        token: whose logit.
        against: whose logit is taken off.
        shares: of token shift, as in `article`.

    Returns:
        contribution → amount, and the sums of its groups under `by_word.…` and so on.
    """
    matrix = np.array(WEIGHTS["unembedding.weight"])
    bias = np.array(WEIGHTS["unembedding.bias"])
    direction = matrix[token] - (0 if against is None else matrix[against])
    attention = values["blocks.0.attention.attention_weights"][0]
    carried = attention[i] * (values["blocks.0.attention.value"][0] @ direction)  # [S]
    parts = {
        "token_embedding": float(values["token_embedding"][i] @ direction),
        "position": float(values["position"][i] @ direction),
        "unembedding.bias": float(bias[token] - (0 if against is None else bias[against])),
    }
    added = shifted(values["token_embedding"], shares)
    shift = {i - back: float(part[i] @ direction) for back, part in added.items() if back <= i}
    words = carried + np.array([shift.get(j, 0.0) for j in range(len(carried))])
    parts |= {f"token_shift.word.{j}": amount for j, amount in shift.items()}
    heads = {f"blocks.0.attention.head.0.word.{j}": float(x) for j, x in enumerate(carried)}
    total, head, rest = sum(parts.values()) + carried.sum(), carried.sum(), sum(parts.values())
    embedding = parts["token_embedding"] + sum(shift.values())
    entry = embedding + parts["position"]
    groups = {f"by_word.{j}": float(x) for j, x in enumerate(words)} | {
        "by_word.rest": rest - sum(shift.values()),
        "by_head.0.0": head,
        "by_head.rest": rest,
        "by_layer.entry": entry,
        "by_layer.0": head,
        "by_layer.exit": parts["unembedding.bias"],
        "by_kind.embedding": embedding,
        "by_kind.position": parts["position"],
        "by_kind.head": head,
        "by_kind.bias": parts["unembedding.bias"],
    }
    return {**parts, **heads, **groups, "total": total, "logit": total}


class Truth:
    """The value of any number of the page by its name."""

    def __init__(self, ids: Sequence[int], *, shares: Sequence[Sequence[float]] = ()) -> None:
        self.ids = tuple(ids)
        self._shares = shares
        self.values = article(ids, shares=shares)
        self.probabilities = self.values["probabilities"]

    def __call__(
        self, name: str, *, position: int, token: int | None = None, against: int | None = None
    ) -> float:
        """What numpy says for a number's name.

        Args:
            name: as in the page's `data-name`.
            position: what the page has selected; the account's.
            token, against: whose logits the account explains; None is the page's own choice, the
                most likely word, and nothing.

        Raises:
            KeyError: no number of this model has such a name.
        """
        if name.startswith("account"):
            return self._account(name, position, token, against)
        if name == "read.loss":
            return float(np.mean([self.loss(t) for t in range(len(self.ids) - 1)]))
        found = re.fullmatch(r"(.+)\[([\d,]+)\]", name)
        if found is None:
            raise KeyError(name)
        index = tuple(map(int, found[2].split(",")))
        if found[1] in self.values:
            return float(self.values[found[1]][index])
        return self._derived(found[1])(*index)

    def loss(self, t: int) -> float:
        """−log of the probability of the word that came after position t."""
        return -math.log(self.probabilities[t, self.ids[t + 1]])

    def ranked(self, t: int) -> list[int]:
        """Every word, the most likely first."""
        return [int(token) for token in np.argsort(-self.probabilities[t], kind="stable")]

    def _account(self, name: str, i: int, token: int | None, against: int | None) -> float:
        group, _, part = name.partition(".")
        best, second = self.ranked(i)[:2]
        if group == "account_against":
            token, against = best, second
        elif group != "account":
            raise KeyError(name)
        token = best if token is None else token
        return account(self.values, i, token, against, shares=self._shares)[part]

    def _derived(self, name: str) -> Callable[..., float]:
        """Numbers between the points: products, shares, and what the lens reads off."""
        attention = self.values["blocks.0.attention.attention_weights"][0]
        query, key, value = (
            self.values[f"blocks.0.attention.{part}"][0] for part in ("query", "key", "value")
        )
        logits = self.values["logits"]
        derived: dict[str, Callable[..., Any]] = {
            "product": lambda _l, _h, t, s, d: query[t, d] * key[s, d],
            "carried": lambda _l, _h, t, s, d: attention[t, s] * value[s, d],
            "row_sum": lambda _l, _h, t: attention[t].sum(),
            "mean_weight": lambda _l, t, s: attention[t, s],
            "read.probability": lambda t: self.probabilities[t, self.ids[t + 1]],
            "read.rank": lambda t: 1 + self.ranked(t).index(self.ids[t + 1]),
            "read.loss": self.loss,
            "next.exp": lambda t, v: np.exp(logits[t, v] - logits[t].max()),
            "next.sum_exp": lambda t: np.exp(logits[t] - logits[t].max()).sum(),
        }
        lens: dict[str, Callable[..., Any]] = {f"lens.{s}": self._lens(s) for s in self.stages}
        return (derived | lens)[name]

    @property
    def stages(self) -> tuple[str, ...]:
        """Where the lens reads."""
        return ("residual", "blocks.0.residual_mid", "blocks.0.residual_post")

    def _lens(self, stage: str) -> Callable[[int], float]:
        """The probability of the word that would be read off at a stage."""
        matrix, bias = (np.array(WEIGHTS[f"unembedding.{part}"]) for part in ("weight", "bias"))
        return lambda t: float(softmax(self.values[stage][t] @ matrix.T + bias).max())

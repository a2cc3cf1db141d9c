"""The chain's beginning, and its way through one head: query, keys, scores, softmax, context."""

import math
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from nextword.interpret.recompute import MAPS
from nextword.interpret.trace import Trace
from nextword.interpret.walkthrough_steps import (
    Line,
    Step,
    equations,
    products,
    quoted,
    step,
    vector_line,
)
from nextword.model.decoder import Block, Decoder


class View:
    """One position of a trace, seen through one head of one layer."""

    def __init__(
        self,
        decoder: Decoder,
        trace: Trace,
        tokens: Sequence[str],
        position: int,
        layer: int,
        head: int,
    ) -> None:
        self.decoder, self.config, self.trace = decoder, decoder.config, trace
        self.tokens, self.i, self.layer, self.head = tokens, position, layer, head
        self.shared = head // (self.config.n_heads // self.config.kv_heads)
        self.x_name = "word_vector"  # what queries, keys and values are made of
        self.x_point = "residual_pre"

    def at(self, name: str, *, block: bool = True) -> Tensor:
        """A value at the position: [M], [F] or, of this head, [D] or [S]."""
        full = f"blocks.{self.layer}.{name}" if block else name
        if name in MAPS and full not in self.trace.values:
            _, _, what = name.partition(".")
            return self.trace.head_map(self.layer, self.head, name=what)[self.i]
        row = self.trace.row(full, self.i)
        return row if row.dim() == 1 else row[self.head]

    def past(self, name: str) -> Tensor:
        """Keys or values of this head's key/value head, up to the position: [i + 1, D]."""
        return self.trace[f"blocks.{self.layer}.attention.{name}"][self.shared, : self.i + 1]

    def entering(self) -> Tensor:
        """What queries, keys and values are made of, at every position: [T, M]."""
        return self.trace[f"blocks.{self.layer}.{self.x_point}"]

    def seen(self) -> list[int]:
        """The positions that the query looks at."""
        window = self.config.window(self.layer)
        return list(range(0 if window is None else max(0, self.i - window + 1), self.i + 1))

    def attention(self, block: Block) -> Iterator[Step]:
        """From what enters the block to the vector with context."""
        yield from self._queries_and_keys(block)
        yield from self._scores()
        yield from self._weighted_sum(block)

    def _queries_and_keys(self, block: Block) -> Iterator[Step]:
        query, last, x = self.at("attention.query"), self.i, self.x_name
        rows = slice(self.head * len(query), (self.head + 1) * len(query))
        lines = [
            *equations(block.attention.query, self.entering()[self.i], query, rows, "query"),
            vector_line("query", query),
        ]
        sentence = (
            f"The query of {quoted(self.tokens[last])}: its vector transformed by Mq, to ask "
            "which words it is related to."
        )
        yield step("attention.query", "Query", sentence, f"query(i) = Mq × {x}(i)", lines)
        sentence = "The key of every word so far: its vector transformed by Mk, to be found by."
        lines = self._transformed("key", block.attention.key)
        yield step("attention.key", "Keys", sentence, f"key(j) = Mk × {x}(j)", lines)
        if self.config.query_key_norm:
            formula = "normed = x / sqrt(mean(x²) + ε) × weight"
            sentence = "is brought to a standard length."
            yield from self._changed("", "_norm", "normed", sentence, formula)
        if self.config.position == "rotary":
            before = "_norm" if self.config.query_key_norm else ""
            formula = "pairs (d, d + D/2) turned by position × rate(d)"
            sentence = "is turned by an angle that grows with its position."
            yield from self._changed(before, "_rotated", "turned", sentence, formula)

    def _changed(
        self, before: str, after: str, how: str, sentence: str, formula: str
    ) -> Iterator[Step]:
        """The query before and after something is done to it, and the keys after it."""
        name = f"attention.query{after}"
        lines = [
            vector_line("before", self.at(f"attention.query{before}")),
            vector_line("after", self.at(name)),
        ]
        yield step(name, f"Query, {how}", f"The query {sentence}", formula, lines)
        name = f"key{after}"
        lines = [
            vector_line(self.tokens[j], vector, position=j)
            for j, vector in enumerate(self.past(name))
        ]
        yield step(
            f"attention.{name}", f"Keys, {how}", f"Each key, too, {sentence}", formula, lines
        )

    def _transformed(self, what: str, layer: nn.Linear, seen: Sequence[int] = ()) -> list[Line]:
        """The keys or values of the words so far, small ones with their sums written out."""
        lines: list[Line] = []
        vectors = self.past(what)
        width = vectors.shape[-1]
        rows = slice(self.shared * width, (self.shared + 1) * width)
        for j in seen or range(self.i + 1):
            lines += equations(layer, self.entering()[j], vectors[j], rows, f"{what}({j})")
            lines.append(vector_line(self.tokens[j], vectors[j], position=j))
        return lines

    def _scores(self) -> Iterator[Step]:
        config, i = self.config, self.i
        turned = "_rotated" if config.position == "rotary" else ""
        turned = turned or ("_norm" if config.query_key_norm else "")
        query, keys = self.at(f"attention.query{turned}"), self.past(f"key{turned}")
        scores = self.at("attention.scores")
        sentence = "The dot product of the query and each key tells how related the two words are."
        lines = [
            Line(
                name=self.tokens[j],
                position=j,
                numbers=(scores[j].item(),),
                products=products(query, keys[j]),
            )
            for j in range(i + 1)
        ]
        yield step(
            "attention.scores", "Query · key", sentence, "score(j) = query(i) · key(j)", lines,
            columns=("query · key",),
        )  # fmt: skip
        if config.scaled_scores or config.attention_soft_cap is not None:
            yield self._scaling(scores)
        yield self._mask()
        yield self._softmax()

    def _scaling(self, scores: Tensor) -> Step:
        config, root = self.config, math.sqrt(self.config.head_width)
        scaled = self.at("attention.scaled_scores")
        formula, what = "score(j)", []
        if config.scaled_scores:
            formula = f"{formula} / √{config.head_width}"
            what.append(f"divided by √{config.head_width} = {root:.4f}, so that long vectors")
            what.append("do not make the softmax too sure")
        if config.attention_soft_cap is not None:
            cap = config.attention_soft_cap
            formula = f"{cap:g} × tanh({formula} / {cap:g})"
            what.append(f"{'and ' if what else ''}kept between -{cap:g} and {cap:g}")
        lines = [
            Line(name=self.tokens[j], position=j, numbers=(scores[j].item(), scaled[j].item()))
            for j in range(self.i + 1)
        ]
        return step(
            "attention.scaled_scores", "Scaled", f"The scores are {' '.join(what)}.",
            f"scaled(j) = {formula}", lines, columns=("query · key", "scaled"),
        )  # fmt: skip

    def _mask(self) -> Step:
        scores, seen = self.at("attention.masked_scores"), set(self.seen())
        window = self.config.window(self.layer)
        lines = []
        for j, token in enumerate(self.tokens):
            if j in seen:
                lines.append(Line(name=token, position=j, numbers=(scores[j].item(),)))
            else:
                why = "comes later" if j > self.i else f"outside the window of {window}"
                lines.append(Line(name=token, position=j, masked=why))
        sentence = "A word looks at itself and at earlier words; later ones are masked."
        if window is not None:
            sentence += f" This layer looks back on {window} words, itself included."
        formula = "score(j) = -∞ for every j that is masked"
        return step("attention.masked_scores", "Mask", sentence, formula, lines, columns=("score",))

    def _softmax(self) -> Step:
        seen = self.seen()
        scores, weights = self.at("attention.masked_scores"), self.at("attention.attention_weights")
        powers = (scores - scores.max()).exp()
        lines = [
            Line(name=self.tokens[j], position=j, numbers=(powers[j].item(), weights[j].item()))
            for j in seen
        ]
        sums = (powers[seen].sum().item(), weights[seen].sum().item())
        lines.append(Line(name="sum", sign="=", numbers=sums))
        return step(
            "attention.attention_weights", "Softmax",
            "Softmax makes the scores into weights that sum to 1.",
            "weight(j) = exp(score(j) - largest) / sum", lines,
            columns=("exp", "weight"),
        )  # fmt: skip

    def _weighted_sum(self, block: Block) -> Iterator[Step]:
        config, seen = self.config, self.seen()
        sentence = "The value of each word it sees: its vector transformed by Mv, to be passed on."
        lines = self._transformed("value", block.attention.value, seen)
        formula = f"value(j) = Mv × {self.x_name}(j)"
        yield step("attention.value", "Values", sentence, formula, lines)

        weights, values = self.at("attention.attention_weights"), self.past("value")
        context = self.at("attention.context")
        lines = [
            vector_line(
                self.tokens[j], weights[j] * values[j], position=j, factor=weights[j].item(),
                sign="+" if j > seen[0] else "",
            )
            for j in seen
        ]  # fmt: skip
        lines.append(vector_line("context", context, sign="="))
        sentence = "The vector with context: the sum of the values, each times its weight."
        formula = "context(i) = weight(0) × value(0) + … + weight(i) × value(i)"
        yield step("attention.context", "Context", sentence, formula, lines)

        joined = self.trace[f"blocks.{self.layer}.attention.context"][:, self.i]  # [H, D]
        if config.n_heads > 1:
            sentence = f"The contexts of all {config.n_heads} heads are laid end to end."
            lines = [vector_line(f"head {number}", part) for number, part in enumerate(joined)]
            formula = "joined = (context of head 0, context of head 1, …)"
            yield step("heads", "All heads", sentence, formula, lines)
        if block.attention.output is not None:
            output = self.at("attention.output")
            everything = slice(0, len(output))
            layer = block.attention.output
            lines = [
                *equations(layer, joined.flatten(), output, everything, "output"),
                vector_line("attention output", output),
            ]
            sentence = "A last matrix brings the context back to the width of the residual."
            formula = f"output = Mo × {'joined' if config.n_heads > 1 else 'context'}"
            yield step("attention.output", "Output projection", sentence, formula, lines)


def entry(view: View) -> Iterator[Step]:
    """The word vector."""
    token, config = view.tokens[view.i], view.config
    lines = [vector_line("token embedding", view.at("token_embedding", block=False))]
    formula, more = "word_vector(i) = embedding(token)", "; this model knows no position"
    shift, earlier = "", min(config.token_shift, view.i)
    if config.token_shift:
        lines.append(vector_line("token shift", view.at("token_shift", block=False), sign="+"))
        formula += " + token_shift(i)"
        words = "word" if earlier == 1 else f"{earlier} words"
        shift = f" plus shares of the {words} before it" if earlier else ""
    if config.position in ("sinusoidal", "learned"):
        lines.append(vector_line("position", view.at("position", block=False), sign="+"))
        formula += " + position(i)"
        more = f" plus the encoding of position {view.i}"
    elif config.position == "rotary":
        more = "; its position comes in later, by turning query and key"
    lines.append(vector_line("word vector", view.at("residual", block=False), sign="="))
    sentence = f"The word vector of {quoted(token)} is its embedding{shift}{more}."
    yield step("word_vector", "Word vector", sentence, formula, lines)

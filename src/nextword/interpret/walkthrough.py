"""The chain of one position: every number between a word and the next word, in the article's order.

`explain` runs the readable forward and lays out what it saw as steps. A step has one plain
sentence, a formula, and lines of numbers; how they are drawn is for the command line and the page.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nextword.config import ModelConfig
from nextword.errors import DataError, LossError
from nextword.interpret.interventions import Changes
from nextword.interpret.points import check_place, check_top, points_of, split_name
from nextword.interpret.recording import record
from nextword.interpret.verdicts import NOT_FINITE, TOP, most_likely
from nextword.interpret.walkthrough_head import View, entry
from nextword.interpret.walkthrough_steps import (
    Line,
    Step,
    activation,
    capped,
    layers,
    norm_step,
    products,
    quoted,
    step,
    vector_line,
)
from nextword.model.decoder import Block, Decoder


@dataclass(frozen=True, kw_only=True)
class Chain:
    """From the word at one position to the next word, as one head of one layer sees it.

    Attributes:
        token, position: the word, counted from 0.
        layer, head: which are shown; None in a model without blocks.
        key_value_head: which keys and values the head uses, and `shared_by` which heads do.
        n_layers, n_heads: how many there are.
        steps: in order.
        fast_difference: largest difference between these logits and the fast decoder's;
            None under an edit.
    """

    token: str
    position: int
    layer: int | None
    head: int | None
    key_value_head: int | None
    shared_by: tuple[int, ...]
    n_layers: int
    n_heads: int
    steps: tuple[Step, ...]
    fast_difference: float | None


def explain(
    decoder: Decoder,
    token_ids: Sequence[int],
    name: Callable[[int], str],
    *,
    position: int = -1,
    layer: int = 0,
    head: int = 0,
    top: int = TOP,
    changes: Sequence[Changes] = (),
) -> Chain:
    """The chain of one position, with the numbers of one head of one layer.

    Args:
        decoder: the model.
        token_ids: the text, T tokens.
        name: what a token is called (`Tokenizer.token`).
        position, layer, head: counted from 0, or from the end when below 0.
        top: how many of the most likely next tokens to show.
        changes: of edits of the forward, outer ones first.

    Raises:
        ConfigError: there is no such position, layer or head; says which there are.
        ContextError: more tokens than learned positions.
        LossError: the model's logits are not finite.
    """
    if not token_ids:
        raise DataError("the text has no tokens; give at least one word")
    config = decoder.config
    position = _chosen("position", position, len(token_ids))
    layer = _chosen("layer", layer, config.n_layers)
    head = _chosen("head", head, config.n_heads)
    check_top(top)
    ids = torch.tensor(token_ids, device=decoder.device)
    keep = _needed(config, layer, everything=bool(changes))
    trace = record(decoder, ids, keep=keep, name=name, changes=changes)
    view = View(decoder, trace, trace.tokens, position, layer, head)
    first = head - head % trace.sharing
    blocks = config.n_layers > 0
    return Chain(
        token=trace.tokens[position],
        position=position,
        layer=layer if blocks else None,
        head=head if blocks else None,
        key_value_head=head // trace.sharing if blocks else None,
        shared_by=tuple(range(first, first + trace.sharing)) if blocks else (),
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        steps=(*entry(view), *_layer_steps(view), *_exit(view, name, top)),
        fast_difference=trace.fast_difference,
    )


def _chosen(what: str, number: int, count: int) -> int:
    """`number`, counted from the end where it is below 0, as one of 0 … count - 1."""
    if count == 0 and number in (0, -1):
        return 0  # a model without blocks: nothing to choose, and nothing was chosen
    return check_place(what, number, count)


def _needed(config: ModelConfig, layer: int, *, everything: bool) -> list[str]:
    """The points to keep; without `everything` the rest, large maps too, is worked out later."""
    last = f"blocks.{config.n_layers - 1}.residual_post"
    return [
        name
        for name, point in points_of(config).items()
        if (split_name(name)[0] == layer and (everything or point.shape != "H T S"))
        or (everything and (split_name(name)[0] == -1 or name == last))
    ]


def _layer_steps(view: View) -> Iterator[Step]:
    """The block: attention through this head, then the feed-forward."""
    if not view.config.n_layers:
        return
    if view.layer:
        view.x_name = "residual"
        sentence = (
            f"The word vector, with what {layers(0, view.layer)} added to it; "
            f"this enters layer {view.layer}."
        )
        lines = [vector_line("residual", view.at("residual_pre"))]
        yield step("residual_pre", f"Entering layer {view.layer}", sentence, "", lines)
    block = view.trace.block(view.layer)
    if view.config.norm != "none" and view.config.norm_placement == "before":
        yield _norm(view, "attention_norm", block.attention_norm, view.at("residual_pre"))
        view.x_name, view.x_point = "normed", "attention_norm"
    yield from view.attention(block)
    yield from _residual_link(view, block)
    yield from _feed_forward(view, block)


def _residual_link(view: View, block: Block) -> Iterator[Step]:
    before, added = view.at("residual_pre"), view.at("attention.output")
    name = "residual" if view.layer else "word vector"
    sentence = (
        "The residual link: what attention found is added to what was there before, so both count."
    )
    what = "context" if block.attention.output is None else "attention output"
    lines = [
        vector_line(name, before),
        vector_line(what, added, sign="+"),
        vector_line("residual", before + added, sign="="),
    ]
    formula = f"residual(i) = {name.replace(' ', '_')}(i) + {what.replace(' ', '_')}(i)"
    yield step("residual_mid", "Residual link", sentence, formula, lines)
    if view.config.norm != "none" and view.config.norm_placement == "after":
        norm = block.attention_norm
        yield _norm(view, "attention_norm", norm, before + added)


def _feed_forward(view: View, block: Block) -> Iterator[Step]:
    config, layer = view.config, block.feed_forward
    if layer is None or block.feed_forward_norm is None:
        return
    residual, x = view.at("residual_mid"), "residual"
    if config.norm != "none" and config.norm_placement == "before":
        yield _norm(view, "feed_forward_norm", block.feed_forward_norm, residual)
        x = "normed"
    hidden, output = view.at("feed_forward.hidden"), view.at("feed_forward.output")
    kind = activation(config)
    lines = [vector_line("up", view.at("feed_forward.up")), vector_line("hidden", hidden)]
    formula = f"hidden = {kind}(up × {x}); output = down × hidden"
    if config.gated:
        lines.insert(0, vector_line("gate", view.at("feed_forward.gate")))
        formula = f"hidden = {kind}(gate × {x}) · (up × {x}); output = down × hidden"
    lines.append(vector_line("output", output))
    sentence = f"The feed-forward works on this word alone, through {len(hidden)} hidden units."
    yield step("feed_forward.output", "Feed-forward", sentence, formula, lines)
    total = residual + output
    lines = [
        vector_line("residual", residual),
        vector_line("feed-forward", output, sign="+"),
        vector_line("residual", total, sign="="),
    ]
    sentence = "Its output is added to the residual, too."
    formula = "residual(i) = residual(i) + feed_forward(i)"
    yield step("residual_post", "Residual link", sentence, formula, lines)
    if config.norm != "none" and config.norm_placement == "after":
        yield _norm(view, "feed_forward_norm", block.feed_forward_norm, total)


def _exit(view: View, name: Callable[[int], str], top: int) -> Iterator[Step]:
    """From the last residual to the next word."""
    config, last = view.config, view.config.n_layers - 1
    x = view.at("residual", block=False)
    if last >= 0:
        x = view.at(f"blocks.{last}.residual_post", block=False)
    if view.layer < last:
        sentence = (
            f"What is left after {layers(view.layer + 1, last + 1)}, which work in the same way."
        )
        yield step("residual", "Later layers", sentence, "", [vector_line("residual", x)])
    if config.final_norm:
        yield _norm(view, "final_norm", view.decoder.final_norm, x, block=False)
        x = view.at("final_norm", block=False)
    logits = view.at("logits", block=False)
    shares = view.at("probabilities", block=False)
    if shares.isnan().any():
        raise LossError(NOT_FINITE)
    best = most_likely(shares, top)
    yield _logits(view, x, logits, best, name)
    yield _next_word(logits, shares, best, name)


def _logits(
    view: View, x: Tensor, logits: Tensor, best: Sequence[int], name: Callable[[int], str]
) -> Step:
    layer, cap = view.decoder.unembedding, view.config.logit_soft_cap
    lines = []
    for token_id in best:
        terms = () if cap is not None else products(layer.weight[token_id].float(), x)
        bias = layer.bias[token_id].item() if terms and layer.bias is not None else None
        lines.append(
            Line(
                name=name(token_id),
                numbers=(logits[token_id].item(),),
                products=terms,
                added=bias,
            )
        )
    sentence = (
        f"The fully connected layer gives each of the {len(logits)} words of the dictionary "
        f"a number, its logit; the largest {len(best)}:"
    )
    x_name = "residual" if view.config.n_layers else "word_vector"
    x_name = "normed" if view.config.final_norm else x_name
    formula = f"logit(word) = weights(word) · {x_name}(i)"
    formula += "" if layer.bias is None else " + bias(word)"
    if cap is not None:
        formula = capped(formula, cap)
    return step("logits", "Logits", sentence, formula, lines, columns=("logit",))


def _next_word(
    logits: Tensor, shares: Tensor, best: Sequence[int], name: Callable[[int], str]
) -> Step:
    powers = (logits - logits.max()).exp()
    lines = [
        Line(name=name(token_id), numbers=(powers[token_id].item(), shares[token_id].item()))
        for token_id in best
    ]
    others = torch.ones_like(shares, dtype=torch.bool)
    others[list(best)] = False
    count = int(others.sum())
    if count:
        rest = (powers[others].sum().item(), shares[others].sum().item())
        lines.append(Line(name=f"the other {count}", sign="+", numbers=rest))
    sums = (powers.sum().item(), shares.sum().item())
    lines.append(Line(name="sum", sign="=", numbers=sums))
    sentence = (
        f"Softmax makes the logits into probabilities; {quoted(name(best[0]))} is predicted "
        "to come next."
    )
    return step(
        "probabilities", "Next word", sentence,
        "probability(word) = exp(logit(word) - largest) / sum", lines,
        columns=("exp", "probability"),
    )  # fmt: skip


def _norm(view: View, name: str, norm: nn.Module, x: Tensor, *, block: bool = True) -> Step:
    """One of the norms over the residual."""
    return norm_step(view.config, name, norm, x, view.at(name, block=block))

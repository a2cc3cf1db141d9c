"""A lesson's sentences, weights and account, before and after."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from nextword.config import ReplyConfig
from nextword.errors import LossError
from nextword.generate.engine import generate_many
from nextword.hardware import adaptive_threads
from nextword.interpret.logit_attribution import Account
from nextword.interpret.recording import record
from nextword.interpret.verdicts import NOT_FINITE, most_likely, rank_of
from nextword.model.decoder import Decoder
from nextword.teach.edit.correction import Correction
from nextword.teach.lesson import (
    JudgedPosition,
    JudgedSentence,
    MatrixChange,
    Side,
    WordAccount,
)
from nextword.tokenizer.tokenizer import Tokenizer

REPLY_TOKENS = 60  # of what the model says to a prompt, but never fewer than the right reply has
CONTRIBUTIONS = 12  # of an account, on each side
Role = Literal["taught", "phrasing"]
Reply = tuple[str | None, bool | None]  # a generated reply, and whether it is the right one
Said = tuple[list[tuple[Side, ...]], list[Reply]]  # for each correction


@adaptive_threads()
@torch.no_grad()
def said(decoder: Decoder, corrections: Sequence[Correction], tokenizer: Tokenizer) -> Said:
    """What a decoder says at every target of some corrections, and in reply to their prompts.

    Raises:
        LossError: the logits are not finite.
    """
    sides = [_sides(decoder, item, tokenizer) for item in corrections]
    return sides, _replies(decoder, corrections, tokenizer)


def _sides(decoder: Decoder, correction: Correction, tokenizer: Tokenizer) -> tuple[Side, ...]:
    tokens = torch.tensor([correction.ids], device=decoder.device)
    logits = decoder(tokens)[0][list(correction.learned)]  # [N, V]
    rows = logits.float().log_softmax(dim=-1).cpu()
    if rows.isnan().any():
        raise LossError(NOT_FINITE)
    pairs = zip(rows, correction.targets, strict=True)
    return tuple(_side(row, token_id, tokenizer) for row, token_id in pairs)


def _side(row: Tensor, token_id: int, tokenizer: Tokenizer) -> Side:
    """One target; `row` [V] holds the logarithms of the probabilities."""
    (predicted,) = most_likely(row, 1)
    return Side(
        probability=row[token_id].exp().item(),
        rank=rank_of(row, token_id),
        predicted_id=predicted,
        predicted=tokenizer.token(predicted),
        predicted_probability=row[predicted].exp().item(),
        loss=-row[token_id].item(),
        right=predicted == token_id,
    )


def _replies(
    decoder: Decoder, corrections: Sequence[Correction], tokenizer: Tokenizer
) -> list[Reply]:
    """Generate what the decoder says to the prompts; (None, None) for a single word."""
    pairs = [item for item in corrections if item.kind == "pair"]
    longest = max((len(item.ids) - len(item.given) for item in pairs), default=0)
    made = generate_many(
        decoder, [item.given for item in pairs],
        ReplyConfig(max_tokens=max(REPLY_TOKENS, longest)), end_ids=tokenizer.end_ids,
        pad_id=tokenizer.pad_id,
    )  # fmt: skip
    replies = iter([
        (tokenizer.decode(ids), _is_reply(ids, item)) for item, ids in zip(pairs, made, strict=True)
    ])  # fmt: skip
    return [next(replies) if item.kind == "pair" else (None, None) for item in corrections]


def _is_reply(ids: Sequence[int], correction: Correction) -> bool:
    """Whether a generated reply is the right one; of a text, whether it begins so."""
    wanted = correction.ids[len(correction.given) :]  # of a dialogue with its end token
    return tuple(ids[: len(wanted)]) == wanted


def sentences(
    corrections: Sequence[Correction], roles: Sequence[Role], before: Said, after: Said,
    tokenizer: Tokenizer,
) -> tuple[JudgedSentence, ...]:  # fmt: skip
    """Corrections and phrasings with what was said before and after."""
    return tuple(
        JudgedSentence(
            role=roles[row],
            prompt=item.prompt,
            reply=item.reply,
            ids=item.ids,
            positions=tuple(_positions(row, item, before[0][row], after[0][row], tokenizer)),
            right_before=all(side.right for side in before[0][row]),
            right_after=all(side.right for side in after[0][row]),
            reply_before=before[1][row][0],
            reply_after=after[1][row][0],
            exact_before=before[1][row][1],
            exact_after=after[1][row][1],
            reply_from=len(item.given),
        )
        for row, item in enumerate(corrections)
    )


def _positions(
    row: int, correction: Correction, before: Sequence[Side], after: Sequence[Side],
    tokenizer: Tokenizer,
) -> list[JudgedPosition]:  # fmt: skip
    return [
        JudgedPosition(
            row=row,
            position=place,
            after_token=tokenizer.token(correction.ids[place]),
            token_id=correction.ids[place + 1],
            token=tokenizer.token(correction.ids[place + 1]),
            before=was,
            after=now,
        )
        for place, was, now in zip(correction.learned, before, after, strict=True)
    ]


def share_right(judged: Sequence[JudgedSentence], role: Role) -> float | None:
    """The share of the targets of one role that are right after; None without any."""
    found = [place.after.right for item in judged if item.role == role for place in item.positions]
    return sum(found) / len(found) if found else None


def share_exact(judged: Sequence[JudgedSentence], role: Role) -> float | None:
    """Return the share of the prompts of one role whose generated reply is the right one."""
    found = [item.exact_after for item in judged if item.role == role]
    known = [exact for exact in found if exact is not None]
    return sum(known) / len(known) if known else None


def mean_losses(judged: Sequence[JudgedSentence]) -> tuple[float, float]:
    """The mean loss of the taught targets, before and after."""
    found = [place for item in judged if item.role == "taught" for place in item.positions]
    return (
        sum(place.before.loss for place in found) / len(found),
        sum(place.after.loss for place in found) / len(found),
    )


@torch.no_grad()
def changes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> tuple[MatrixChange, ...]:
    """How far each parameter moved, those that did."""
    found = []
    for name, weight in before.items():
        old = weight.float().cpu()
        moved = after[name].float().cpu() - old
        norm, length = moved.norm().item(), old.norm().item()
        if norm > 0:
            largest = moved.abs().max().item()
            relative = norm / length if length else 0.0
            found.append(MatrixChange(name=name, norm=norm, relative=relative, largest=largest))
    return tuple(found)


def account(
    judged: Sequence[JudgedSentence], before: Decoder, after: Decoder, tokenizer: Tokenizer
) -> WordAccount | None:
    """The right word against the one predicted before, at the first target that was wrong."""
    for item in judged:
        for place in item.positions:
            if item.role == "taught" and not place.before.right:
                was = _account(before, item.ids, place, tokenizer)
                now = _account(after, item.ids, place, tokenizer)
                return WordAccount(
                    token=place.token,
                    against=place.before.predicted,
                    position=place.position,
                    before=tuple(was.contributions(CONTRIBUTIONS)),
                    before_logit=was.logit,
                    after=tuple(now.contributions(CONTRIBUTIONS)),
                    after_logit=now.logit,
                )
    return None


def _account(
    decoder: Decoder, ids: Sequence[int], place: JudgedPosition, tokenizer: Tokenizer
) -> Account:
    tokens = torch.tensor(ids[: place.position + 1], device=decoder.device)
    trace = record(decoder, tokens, keep=(), name=tokenizer.token)
    return trace.account(token=place.token_id, against=place.before.predicted_id)

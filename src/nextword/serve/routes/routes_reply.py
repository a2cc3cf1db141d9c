"""A reply as events, one for each token, so that the page can show every choice as it is made."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from nextword.config import ReplyConfig
from nextword.generate.engine import Step
from nextword.generate.reply_stream import ReplyStream
from nextword.generate.sampling import Choice
from nextword.language_model import LanguageModel
from nextword.serve.responses import exact
from nextword.serve.routes.routes_model import read_ids
from nextword.serve.schemas import (
    MOST_CANDIDATES,
    Body,
    ReplyTo,
    check_version,
    config_of,
    out_of_bounds,
)

Event = dict[str, Any]


class Replying:
    """The events of one reply; each is worked out when it is asked for.

    Args:
        lm: the model; nothing else may run on it while an event is made, or while this is. Its
            weights may become others between two events: then the reply ends in an error, since
            the keys and values that it remembers are of the weights from before.
        body: what was asked.

    Raises:
        ConfigError, ContextError, DataError, RequestError, TokenizerError: the body asks for what
            cannot be.
    """

    def __init__(self, lm: LanguageModel, body: ReplyTo) -> None:
        self._lm = lm
        self._begun = Body(version=lm.version)
        self._config = _config(body)
        self._limit = body.steps
        self._ids, self._read_as, _ = read_ids(lm, body)
        self._stream = ReplyStream(
            lm.decoder, lm.tokenizer, list(self._ids), self._limited(), top=body.top
        )

    def events(self) -> Iterator[Event]:
        """The start, every step, and the end.

        Raises:
            RequestError: from an event, when the weights are others than when this was made.
        """
        events = self._events()
        while True:
            check_version(self._begun, self._lm.version)
            event = next(events, None)
            if event is None:
                return
            yield event

    def _events(self) -> Iterator[Event]:
        started, text = time.perf_counter(), ""
        yield {
            "event": "start",
            "version": self._lm.version,
            "ids": list(self._ids),
            "read_as": self._read_as,
        }
        ids: list[int] = list(self._ids)
        reason = None
        for step, piece in self._stream.steps():
            ids.append(step.token_id)
            text += piece
            reason = self._reason(step, len(ids))
            yield self._step(step, piece, reason)
        yield {
            "event": "end",
            "reason": reason,
            "text": text,
            "ids": ids,
            "seconds": exact(time.perf_counter() - started),
        }

    def _limited(self) -> ReplyConfig:
        """The config with no more tokens than are to be made now."""
        limits = [limit for limit in (self._limit, self._config.max_tokens) if limit is not None]
        return dataclasses.replace(self._config, max_tokens=min(limits, default=None))

    def _reason(self, step: Step, length: int) -> str | None:
        """Why the reply ends here, or None; "steps" if only the steps asked for are made."""
        if self._stream.at_stop_string:
            return "stop_string"
        if step.finish_reason != "length":
            return step.finish_reason
        made = length - len(self._ids)
        full = length >= self._lm.config.context_length or made == self._config.max_tokens
        return "length" if full else "steps"

    def _step(self, step: Step, piece: str, reason: str | None) -> Event:
        return {
            "event": "step",
            **self._choice(step),
            "text": piece,
            "candidates": [self._choice(choice) for choice in step.candidates],
            "finish_reason": reason if reason in ("stop", "length") else None,
        }

    def _choice(self, choice: Choice) -> Event:
        return {
            "token_id": choice.token_id,
            "token": self._lm.tokenizer.token(choice.token_id),
            "probability": exact(choice.probability),
            "kept_probability": exact(choice.kept_probability),
        }


def _config(body: ReplyTo) -> ReplyConfig:
    if body.steps is not None and body.steps < 1:
        raise out_of_bounds("steps", f"{body.steps} is too few; it must be at least 1, or null")
    if not 0 <= body.top <= MOST_CANDIDATES:
        raise out_of_bounds("top", f"{body.top} is not from 0 to {MOST_CANDIDATES}")
    return config_of(ReplyConfig, body.config)

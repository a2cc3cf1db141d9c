"""A reply as text, as it is made: whole characters, up to the end token or a stop string."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from nextword.config import ReplyConfig
from nextword.generate.engine import FinishReason, Step, generate
from nextword.generate.stop_strings import StopAt
from nextword.model.decoder import Decoder
from nextword.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What the model said.

    Attributes:
        text: without the end token.
        finish_reason: "stop" (end token or stop string) or "length" (context full, max_tokens).
        tokens: every token with its probability, the end token included.
        prompt_tokens: how many tokens were read first.
        seconds: how long it took.
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[Step, ...]
    prompt_tokens: int
    seconds: float


class ReplyStream:
    """A reply as it is made: iterate over pieces of text, once; then `result` has the whole.

    Args:
        top: how many candidates each step names.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: Tokenizer,
        ids: list[int],
        config: ReplyConfig,
        *,
        top: int = 0,
    ) -> None:
        self._ids = ids
        self._tokenizer = tokenizer
        self._source = generate(decoder, ids, config, end_ids=tokenizer.end_ids, top=top)
        self._stop_at = StopAt(config.stop)
        self._steps: list[Step] = []
        self._result: Reply | None = None
        self._pieces = self._run()

    @property
    def result(self) -> Reply:
        """The whole reply; first takes the tokens that were not yet asked for."""
        for _ in self._pieces:
            pass
        assert self._result is not None
        return self._result

    @property
    def at_stop_string(self) -> bool:
        """Whether one of the stop strings has come."""
        return self._stop_at.done

    def steps(self) -> Iterator[tuple[Step, str]]:
        """Each token with the text that is known to be the reply's since it came.

        Text is held back while it may be the start of a stop string or of a character. Ask for
        the steps or for the pieces of text, not for both.
        """
        decoding = self._tokenizer.stream()
        for step in self._source:
            self._steps.append(step)
            ended = step.token_id in self._tokenizer.end_ids
            text = "" if ended else decoding.push(step.token_id)
            if step.finish_reason is not None:
                text += decoding.finish()
            piece, stopped = self._stop_at.push(text)
            if step.finish_reason is not None and not stopped:
                piece += self._stop_at.finish()
            yield step, piece
            if stopped:
                return

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def _run(self) -> Iterator[str]:
        started = time.perf_counter()
        text = ""
        for _, piece in self.steps():
            if piece:
                text += piece
                yield piece
        last = self._steps[-1].finish_reason or "stop"  # only a stop string ends without a reason
        self._result = Reply(
            text=text,
            finish_reason="stop" if self.at_stop_string else last,
            tokens=tuple(self._steps),
            prompt_tokens=len(self._ids),
            seconds=time.perf_counter() - started,
        )

"""The traces of the sentences that were asked about last."""

from collections import OrderedDict
from collections.abc import Sequence

from nextword.interpret.trace import Trace
from nextword.language_model import LanguageModel
from nextword.model.fingerprint import Stamp, stamp_of

MOST_BYTES = 320_000_000  # two sentences of 1,000 tokens of GPT-2
MOST_TRACES = 16


class Traces:
    """Traces by sentence, of the weights as they are; the ones not asked for go first.

    A trace works values out when they are asked for, so none outlives a change of the weights:
    not even one that was undone since.

    Nothing here keeps threads apart: whoever asks takes turns (`app.py`).
    """

    def __init__(self, lm: LanguageModel, *, most_bytes: int = MOST_BYTES) -> None:
        self._lm = lm
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[int, ...], Trace] = OrderedDict()
        self._stamp: Stamp = ()

    def get(self, ids: Sequence[int]) -> Trace:
        """The trace of a sentence, made if it is not there."""
        stamp, key = stamp_of(self._lm.decoder), tuple(ids)
        if stamp != self._stamp:
            self._kept.clear()
            self._stamp = stamp
        trace = self._kept.pop(key, None) or self._lm.trace_ids(ids)
        self._kept[key] = trace
        while len(self._kept) > 1 and self._too_much():
            self._kept.popitem(last=False)
        return trace

    def _too_much(self) -> bool:
        size = sum(trace.n_bytes for trace in self._kept.values())
        return size > self._most_bytes or len(self._kept) > MOST_TRACES

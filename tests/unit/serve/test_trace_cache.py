"""The traces that are kept."""

from dataclasses import dataclass

import torch

from nextword.serve.trace_cache import MOST_TRACES, Traces


@dataclass
class FakeTrace:
    n_bytes: int


class FakeModel:
    """Makes traces of 10 bytes a token, and counts them."""

    def __init__(self) -> None:
        self.decoder = torch.nn.Linear(2, 3)
        self.made: list[tuple[int, ...]] = []

    def trace_ids(self, ids: tuple[int, ...]) -> FakeTrace:
        self.made.append(tuple(ids))
        return FakeTrace(10 * len(ids))


def traces(model: FakeModel, most_bytes: int = 1000) -> Traces:
    return Traces(model, most_bytes=most_bytes)  # type: ignore[arg-type]


def test_a_sentence_is_traced_once_for_each_change_of_the_weights() -> None:
    model = FakeModel()
    kept = traces(model)
    first = kept.get([1, 2])
    assert kept.get((1, 2)) is first
    with torch.no_grad():
        model.decoder.bias.add_(1)
        model.decoder.bias.sub_(1)  # the same numbers, written anew
    assert kept.get([1, 2]) is not first
    assert model.made == [(1, 2), (1, 2)]


def test_the_one_asked_for_longest_ago_goes_first() -> None:
    model = FakeModel()
    kept = traces(model, most_bytes=50)  # five tokens
    for ids in ([1, 2], [3, 4], [1, 2], [5]):
        kept.get(ids)
    kept.get([6])  # now six tokens: [3, 4] goes
    kept.get([1, 2])
    kept.get([5])
    assert model.made == [(1, 2), (3, 4), (5,), (6,)]
    kept.get([3, 4])
    assert model.made[-1] == (3, 4)


def test_one_is_kept_however_large_and_never_too_many() -> None:
    model = FakeModel()
    kept = traces(model, most_bytes=5)
    assert kept.get([1]) is kept.get([1])
    model = FakeModel()
    kept = traces(model, most_bytes=10**6)
    for number in range(MOST_TRACES + 1):
        kept.get([number])
    kept.get([1])
    assert len(model.made) == MOST_TRACES + 1
    kept.get([0])
    assert len(model.made) == MOST_TRACES + 2

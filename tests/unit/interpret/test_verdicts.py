"""Right or wrong at every position, worked out by hand."""

import math

import pytest
import torch

from nextword.errors import ConfigError, LossError
from nextword.interpret.verdicts import Verdicts, make_verdicts, most_likely
from nextword.tokenizer.tokenizer import Tokenizer

SHARES = [  # [T, V]
    [0.1, 0.6, 0.1, 0.1, 0.05, 0.05],
    [0.25, 0.25, 0.2, 0.2, 0.06, 0.04],
    [0.5, 0.2, 0.1, 0.1, 0.06, 0.04],
]
IDS = [3, 1, 5]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.learn(["a b c"], kind="words")


@pytest.fixture
def verdicts(tokenizer: Tokenizer) -> Verdicts:
    return make_verdicts(torch.tensor(SHARES).log(), IDS, tokenizer)


def test_a_right_one(verdicts: Verdicts, tokenizer: Tokenizer) -> None:
    first = verdicts[0]
    assert (first.position, first.token_id, first.token) == (0, 3, tokenizer.token(3))
    assert first.predicted.token_id == 1
    assert first.predicted.probability == pytest.approx(0.6)
    assert first.actual is not None
    assert (first.actual.token_id, first.actual.token) == (1, tokenizer.token(1))
    assert (first.rank, first.right, first.in_top5) == (1, True, True)
    assert first.loss == pytest.approx(-math.log(0.6))


def test_a_wrong_one_has_its_rank(verdicts: Verdicts) -> None:
    second = verdicts[1]
    assert (second.rank, second.right, second.in_top5) == (6, False, False)
    assert [guess.token_id for guess in second.top] == [0, 1, 2, 3, 4]  # equals by id


def test_after_the_last_nothing_has_come_yet(verdicts: Verdicts) -> None:
    last = verdicts[2]
    assert (last.actual, last.rank, last.right, last.in_top5, last.loss) == (None,) * 5
    assert last.predicted.token_id == 0


def test_sums(verdicts: Verdicts) -> None:
    assert len(verdicts) == 3
    assert len(verdicts.judged) == 2
    assert (verdicts.n_right, verdicts.n_in_top5) == (1, 1)
    assert verdicts.loss == pytest.approx(-(math.log(0.6) + math.log(0.04)) / 2)
    tail = verdicts[1:]
    assert isinstance(tail, Verdicts)
    assert [item.position for item in tail] == [1, 2]
    assert verdicts[2:].loss is None


def test_a_hopeless_token_has_a_finite_loss(tokenizer: Tokenizer) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0, 0.0, 0.0, 0.0]] * 2)
    assert make_verdicts(logits, [0, 1], tokenizer).loss == pytest.approx(200.0)


def test_rank_counts_equals_with_a_lower_id(tokenizer: Tokenizer) -> None:
    logits = torch.zeros(2, 6)
    assert make_verdicts(logits, [0, 0], tokenizer)[0].rank == 1
    assert make_verdicts(logits, [0, 4], tokenizer)[0].rank == 5


def test_top_is_as_long_as_asked(tokenizer: Tokenizer) -> None:
    logits = torch.tensor(SHARES).log()
    assert [len(make_verdicts(logits, IDS, tokenizer, top=top)[0].top) for top in (1, 3, 99)] == [
        1,
        3,
        6,
    ]
    with pytest.raises(ConfigError, match="top is 0"):
        make_verdicts(logits, IDS, tokenizer, top=0)


def test_logits_that_say_nothing_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(LossError, match="not finite"):
        make_verdicts(torch.full((2, 6), math.nan), [0, 1], tokenizer)


def test_more_positions_than_are_worked_out_at_once(tokenizer: Tokenizer) -> None:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(131, 5, generator=generator)
    ids = torch.randint(5, (131,), generator=generator).tolist()
    verdicts = make_verdicts(logits, ids, tokenizer)
    assert [item.position for item in verdicts] == list(range(131))
    assert [item.predicted.token_id for item in verdicts] == logits.argmax(dim=-1).tolist()
    wanted = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:])).item()
    assert verdicts.loss == pytest.approx(wanted, rel=1e-5)


def test_most_likely_is_a_stable_sort() -> None:
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        row = torch.randint(7, (53,), generator=generator).float()
        wanted = torch.sort(row, descending=True, stable=True).indices
        for top in (1, 5, 53, 60):
            assert most_likely(row, top) == wanted[:top].tolist()

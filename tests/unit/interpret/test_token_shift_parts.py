"""Token shift under glass: by hand, in the account by word, in equation, chain and sentences."""

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud

from nextword.config import ModelConfig
from nextword.interpret import record
from nextword.interpret.interventions import Change
from nextword.interpret.reference import forward
from nextword.interpret.trace import Trace
from nextword.interpret.walkthrough import explain
from nextword.model import Decoder

IDS = [0, 1, 2]
WORDS = ["the", " cat", " sat", " on", " mat"]
VECTORS = [[1.0, 2.0, 3.0], [5.0, 7.0, 11.0], [13.0, 17.0, 19.0]]
SHARES = [[0.5, 0.25, 2.0], [-1.0, 3.0, 0.125]]
LAST = [2.5 - 1.0, 1.75 + 6.0, 22.0 + 0.375]  # what the two words before add to the third


def by_hand() -> Decoder:
    """A model without blocks: V 5, M 3, two earlier words."""
    config = ModelConfig(
        vocab_size=5, d_model=3, n_layers=0, n_heads=3, position="none", norm="none", token_shift=2
    )
    decoder = Decoder(config).eval()
    assert decoder.token_shift is not None
    with torch.no_grad():
        decoder.token_embedding.weight[:3] = torch.tensor(VECTORS)
        decoder.token_shift.weight.copy_(torch.tensor(SHARES))
        decoder.unembedding.weight.copy_(torch.arange(15.0).view(5, 3) - 7.0)
    return decoder


@pytest.fixture
def trace() -> Trace:
    return record(by_hand(), torch.tensor(IDS), keep=(), name=WORDS.__getitem__)


def test_the_point(trace: Trace) -> None:
    added = trace["token_shift"]
    assert added.tolist() == [[0.0, 0.0, 0.0], [0.5, 0.5, 6.0], LAST]
    assert torch.equal(trace["residual"], trace["token_embedding"] + added)
    assert trace.row("token_shift", 2).tolist() == LAST


def test_the_account_splits_it_by_word(trace: Trace) -> None:
    account = trace.account(2, 4, 0)  # weights 5, 6, 7 against −7, −6, −5: 12 each
    amounts = {part.name: part.amount for part in account.fixed}
    assert amounts == {
        "token_embedding": 12.0 * 49.0,
        "token_shift.word.1": 12.0 * (2.5 + 1.75 + 22.0),
        "token_shift.word.0": 12.0 * (-1.0 + 6.0 + 0.375),
    }
    near = account.fixed[1]
    assert (near.source, near.kind, near.layer, near.head) == (1, "embedding", None, None)
    assert near.label == "token shift ← “␣cat”, 1 before"
    assert account.total == account.logit == 12.0 * (49.0 + 26.25 + 5.375)
    by_word = {part.name: part.amount for part in account.by_word()}
    assert by_word == {
        "by_word.0": 12.0 * 5.375,
        "by_word.1": 12.0 * 26.25,
        "by_word.2": 0.0,
        "by_word.rest": 12.0 * 49.0,
    }
    assert account.by_word()[-1].label == "carried by no head or token shift"
    (kind,) = account.by_kind()
    assert (kind.name, kind.label) == (
        "by_kind.embedding",
        "the word itself and those just before it",
    )


def test_the_first_word_has_no_part_of_it(trace: Trace) -> None:
    account = trace.account(0)
    assert [part.name for part in account.fixed] == ["token_embedding"]
    assert account.by_kind()[0].label == "the word itself"


def test_the_largest_parts_stand_in_order_among_those_of_heads() -> None:
    decoder = loud(config_of("token shift"))
    account = record(decoder, torch.tensor([3, 1, 4, 1, 5]), keep=()).account(4)
    parts = account.contributions()
    assert {"token_shift.word.3", "token_shift.word.2"} <= {part.name for part in parts}
    for top in (1, 5, 17, 1000):
        assert account.contributions(top) == parts[:top]
    assert account.n_contributions == len(parts)


def test_the_equation_is_a_sum_over_the_words(trace: Trace) -> None:
    equation = trace.equation("token_shift", [2, 1])
    assert equation.formula == "token_shift(i) = Σ share(k) × embedding(i − k), k = 1 … 2"
    assert [(term.label, term.left, term.right) for term in equation.terms] == [
        ("“␣cat”, 1 before", 0.25, 7.0),
        ("“the”, 2 before", 3.0, 2.0),
    ]
    assert equation.result == LAST[1] == sum(term.product for term in equation.terms)
    first = trace.equation("token_shift", [0, 1])
    assert (first.result, first.terms) == (0.0, ())
    assert "no word stands before" in first.formula
    whole = trace.equation("residual", [2, 1])
    assert whole.formula == "word_vector(i) = embedding(token) + token_shift(i)"
    assert [(term.label, term.left) for term in whole.terms] == [
        ("embedding", 17.0),
        ("token shift", LAST[1]),
    ]


def test_the_chain_shows_it_where_the_word_comes_in() -> None:
    first = explain(by_hand(), IDS, WORDS.__getitem__).steps[0]
    assert first.formula == "word_vector(i) = embedding(token) + token_shift(i)"
    assert "is its embedding plus shares of the 2 words before it" in first.sentence
    assert [(line.name, line.sign) for line in first.lines] == [
        ("token embedding", ""),
        ("token shift", "+"),
        ("word vector", "="),
    ]
    assert first.lines[1].numbers == tuple(LAST)
    alone = explain(by_hand(), IDS, WORDS.__getitem__, position=0).steps[0]
    assert "shares" not in alone.sentence
    second = explain(by_hand(), IDS, WORDS.__getitem__, position=1).steps[0]
    assert "shares of the word before it" in second.sentence


def test_the_sentences_say_what_carried(trace: Trace) -> None:
    texts = [told.text for told in trace.narrate(2).sentences]
    # all but “mat” round to probability 0, and the first of them is the runner-up: 12 each
    said = (
        "Through token shift, “␣cat” pushed “␣mat” up by 315.00 and “the” by 64.50 against “the”."
    )
    assert texts[1] == said
    heads = record(loud(config_of("token shift")), torch.tensor([3, 1, 4]), keep=())
    told = " ".join(sentence.text for sentence in heads.narrate(2).sentences)
    assert "Through its heads and token shift, " in told


def test_it_can_be_taken_out_and_has_a_gradient(trace: Trace) -> None:
    decoder, ids = trace.decoder, torch.tensor(IDS)
    gradient = trace.gradients(["token_shift"], token=4, against=0)["token_shift"]
    assert gradient.tolist() == [[0.0] * 3, [0.0] * 3, [12.0] * 3]
    changes: dict[str, Change] = {"token_shift": torch.zeros_like}
    edited = record(decoder, ids, keep=["logits", "residual"], changes=[changes])
    assert edited["residual"].tolist() == VECTORS
    with torch.no_grad():
        assert decoder.token_shift is not None
        decoder.token_shift.weight.zero_()
    assert torch.equal(edited["logits"], forward(decoder, ids))

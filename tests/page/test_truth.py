"""Every number that the page prints is the one that plain numpy computes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.page import models
from tests.page.conftest import Open
from tests.page.pages import Opened, Shown
from tests.page.truth import SHARES, Truth

from nextword.interpret.trace import Trace

IDS = models.seed2().ids(models.DIALOGUE)
FAMILIES = {  # at every position of the article's model, at least these are printed
    "token_embedding", "position", "residual", "blocks.0.attention.query",
    "blocks.0.attention.scores", "blocks.0.attention.attention_weights",
    "blocks.0.attention.context", "blocks.0.attention.output", "blocks.0.residual_pre",
    "blocks.0.residual_mid", "logits", "probabilities", "next.exp", "next.sum_exp", "row_sum",
    "carried", "lens.residual", "lens.blocks.0.residual_mid", "read.probability", "read.loss",
    "account.token_embedding", "account.position", "account.unembedding.bias", "account.total",
}  # fmt: skip

OPENED = {"product", "blocks.0.attention.key", "blocks.0.attention.value"}  # by *Open*


@pytest.mark.parametrize("shares", [(), SHARES])
def test_the_truth_adds_up(shares: list[list[float]]) -> None:
    """The numpy that the page is compared with agrees with itself."""
    truth = Truth(IDS, shares=shares)
    assert len(IDS) == 6
    for i, token in enumerate(IDS):
        at: dict[str, Any] = {"position": i, "token": token, "against": 1}
        total = truth("account.total", **at)
        difference = truth(f"logits[{i},{token}]", **at) - truth(f"logits[{i},1]", **at)
        assert total == pytest.approx(difference)
        words = [truth(f"account.by_word.{part}", **at) for part in [*range(6), "rest"]]
        assert sum(words) == pytest.approx(total)
        assert truth(f"row_sum[0,0,{i}]", **at) == pytest.approx(1)
    with pytest.raises(KeyError):
        truth("blocks.0.feed_forward.up[0,0]", position=0)


def check(number: Shown, expected: float, *, rel: float = 1e-5, abs_: float = 1e-6) -> None:
    """A float32, the right one, and printed as its own rounding."""
    assert float(np.float32(number.value)) == number.value or number.value == expected, number
    if math.isinf(expected):
        assert number.value == expected, number
    else:
        assert number.value == pytest.approx(expected, rel=rel, abs=abs_), number
    told = number.expected_text
    if number.name.startswith("account_against") and number.text[0] != "−":
        told = told.removeprefix("−")  # “pushed it down by 0.28”: the sign is said in words
    assert number.text == told, number


def open_all(page: Opened) -> None:
    """Open what is folded: formulas, products of each dimension, tables."""
    page.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for name in ("Open", "Show as table"):
        for button in page.page.get_by_role("button", name=name, exact=True).all():
            button.click()
            page.ready()


def check_all(page: Opened, truth: Truth) -> set[str]:
    """Check every number that has a name; the families of those that were there."""
    position, token, against = page.state("position", "token", "against")
    numbers = page.numbers()
    for number in numbers:
        check(number, truth(number.name, position=position, token=token, against=against))
    return {number.name.split("[")[0] for number in numbers}


@pytest.mark.parametrize("position", range(6))
def test_every_number_of_the_articles_model(
    opened: Open, addresses: Callable[[str], str], position: int
) -> None:
    truth = Truth(IDS)
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=position, layer=0, head=0)
        assert page.state("ids") == IDS
        assert check_all(page, truth) >= FAMILIES
        open_all(page)
        assert check_all(page, truth) >= FAMILIES | OPENED
        printed = {number.name for number in page.numbers()}
        assert {f"logits[{position},{token}]" for token in range(7)} <= printed
        weights = "blocks.0.attention.attention_weights"
        assert {f"{weights}[0,{position},{j}]" for j in range(position + 1)} <= printed


def test_words_that_came_unexpected(opened: Open, addresses: Callable[[str], str]) -> None:
    """Where the model was wrong, the rank and the probability of the actual word stand there."""
    turns = ["awesome nextword is", "what what"]
    ids = models.seed2().ids(turns)
    truth = Truth(ids)
    with opened(addresses("seed2")) as page:
        page.go(turns, mode="dialogue", position=2)
        families = check_all(page, truth)
        assert {"read.rank", "read.probability"} <= families
        kinds = page.page.locator("#strip [data-verdict]").evaluate_all(
            "chips => chips.map(chip => chip.dataset.verdict)"
        )
        ranks = [truth(f"read.rank[{t}]", position=0) for t in range(len(ids) - 1)]
        expected = ["right" if r == 1 else "top5" if r <= 5 else "wrong" for r in ranks]
        assert kinds == [*expected, "open"]
        assert len(set(kinds)) >= 3


def test_the_account_of_every_pair_of_words(opened: Open, addresses: Callable[[str], str]) -> None:
    truth = Truth(IDS)
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=4)
        for token, against in [(3, None), (3, 5), (0, 1), (5, 3)]:
            page.select(token=token, against=against)
            assert "account.total" in check_all(page, truth)
            for group in ("word", "head", "layer", "kind"):
                page.page.locator(f"#account input[value={group}]").check(force=True)
                page.ready()
                families = check_all(page, truth)
                assert any(family.startswith(f"account.by_{group}.") for family in families)


@pytest.mark.parametrize("position", [0, 1, 4])
def test_token_shift(opened: Open, addresses: Callable[[str], str], position: int) -> None:
    """A word vector is embedding + token shift + position, and each word's part in the account is
    what heads and token shift carried from it; of the first words there are fewer before.
    """
    truth = Truth(IDS, shares=SHARES)
    with opened(addresses("shift2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=position, layer=0, head=0)
        assert page.state("ids") == IDS
        assert check_all(page, truth) >= FAMILIES | {"token_shift"}
        parts = {number.name for number in page.numbers("#account")}
        earlier = {f"account.token_shift.word.{position - back}" for back in (1, 2)}
        assert earlier & parts == {name for name in earlier if "-" not in name}
        values = {number.name: number.value for number in page.numbers("#panel-2")}
        for dimension in range(2):
            at = f"[{position},{dimension}]"
            summed = sum(values[f"{name}{at}"] for name in ("token_embedding", "token_shift",
                                                           "position"))  # fmt: skip
            assert values[f"residual{at}"] == pytest.approx(summed, rel=1e-5, abs=1e-6)
        open_all(page)
        check_all(page, truth)
        page.page.locator("#account input[value=word]").check(force=True)
        page.ready()
        check_all(page, truth)
        words = [f"account.by_word.{j}" for j in range(position + 1)]
        assert {*words, "account.by_word.rest"} <= {n.name for n in page.numbers("#account")}
        labels = page.page.locator("#account .bar .label").all_inner_texts()
        how = ", through heads and token shift"
        assert len([label for label in labels if label.endswith(how)]) == len(words)
        assert "all that no head or token shift carried" in labels


def test_what_the_narration_says(opened: Open, addresses: Callable[[str], str]) -> None:
    """Each sentence stands on the page, and each of its numbers is numpy's."""
    truth = Truth(IDS)
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=0)
        for position in range(len(IDS)):
            page.select(position=position)
            text = page.page.locator("#panel-2").inner_text()
            said = page.page.evaluate(
                "i => nextword.api.narrate(nextword.store.state.ids, i)", position
            )
            assert 3 <= len(said["sentences"]) <= 6
            for sentence in said["sentences"]:
                assert sentence["text"] in text
                for number in sentence["numbers"]:
                    assert number["shown"] in sentence["text"]
                    expected = truth(number["name"], position=position)
                    assert number["value"] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_number_shows_how_it_was_computed(opened: Open, addresses: Callable[[str], str]) -> None:
    """Every number that can be clicked opens an equation, and its result is that number."""
    truth = Truth(IDS)
    with opened(addresses("seed2")) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=3)
        buttons = page.page.locator("nw-number[data-name] button:visible")
        assert buttons.count() >= 20
        for place in range(0, buttons.count(), 5):
            number = buttons.nth(place).locator("..")
            name = number.get_attribute("data-name")
            assert name is not None
            buttons.nth(place).click()
            page.ready()
            inspector = page.page.locator("#inspector")
            assert inspector.is_visible(), name
            point, index = name[:-1].split("[")
            answer = page.page.evaluate(
                "([n, i]) => nextword.api.equation(nextword.store.state.ids, n, i)",
                [point, [int(part) for part in index.split(",")]],
            )
            expected = truth(name, position=3)
            assert answer["result"] == pytest.approx(expected, rel=1e-5, abs=1e-6), name
            assert str(number.inner_text()) in inspector.inner_text(), name
            page.page.keyboard.press("Escape")
            assert not inspector.is_visible()


def test_the_page_of_an_installed_wheel(opened: Open, wheel_address: str) -> None:
    with opened(wheel_address) as page:
        page.go(models.DIALOGUE, mode="dialogue", position=5)
        assert check_all(page, Truth(IDS)) >= FAMILIES


def used(trace: Trace, layer: int, part: str, head: int) -> torch.Tensor:
    """The query, key or value of a head, as the scores use it: [T, D]."""
    name = f"blocks.{layer}.attention.{part}"
    last = next(n for n in (f"{name}_rotated", f"{name}_norm", name) if n in trace.values)
    value = trace.values[last]
    return value[head * len(value) // trace.config.n_heads]


def deep_truth(trace: Trace, number: Shown) -> float | None:
    """What the recorded forward says; None for numbers of the account, the lens and so on."""
    point, bracket, index = number.name.rstrip("]").partition("[")
    at = tuple(int(part) for part in index.split(",")) if bracket else ()
    if point in trace.values:
        return float(trace.values[point][at])
    if point in ("product", "carried", "mean_weight"):
        weights = trace.values[f"blocks.{at[0]}.attention.attention_weights"]
    if point == "product":
        layer, head, t, s, d = at
        query, key = (used(trace, layer, part, head) for part in ("query", "key"))
        return float(query[t, d] * key[s, d])
    if point == "carried":
        layer, head, t, s, d = at
        return float(weights[head, t, s] * used(trace, layer, "value", head)[s, d])
    if point == "mean_weight":
        return float(weights[:, at[1], at[2]].mean())
    return 1.0 if point == "row_sum" else None


@pytest.mark.parametrize("place", [(0, 0, 0), (5, 6, 11), (11, 11, 3)])
@pytest.mark.parametrize("name", ["deep", "llama", pytest.param("gpt2", marks=pytest.mark.slow)])
def test_sampled_numbers_of_twelve_layers(
    opened: Open, addresses: Callable[[str], str], name: str, place: tuple[int, int, int]
) -> None:
    """Two families, and one as wide as GPT-2."""
    trace = models.MAKERS[name]().trace(models.SENTENCE, keep=("*",))
    position, layer, head = place
    with opened(addresses(name)) as page:
        page.go([models.SENTENCE], position=position, layer=layer, head=head)
        open_all(page)
        checked = set()
        for number in page.numbers():
            expected = deep_truth(trace, number)
            if expected is not None:
                check(number, expected, rel=1e-4, abs_=1e-4)
                checked.add(number.name.split("[")[0])
        block = f"blocks.{layer}."
        assert checked >= {
            block + "attention.attention_weights", block + "attention.scores",
            block + "attention.context", block + "residual_mid", "logits", "probabilities",
            "product", "carried",
        }  # fmt: skip
        assert_account(page, trace, position)


def assert_account(page: Opened, trace: Trace, position: int) -> None:
    """The account on the page is the trace's, and adds up to the logit that the page prints."""
    account = trace.account(position)
    amounts = {part.name: part.amount for part in account.contributions()}
    amounts |= {part.name: part.amount for part in account.by_word()}
    on_page = [number for number in page.numbers("#account") if number.name[8:] in amounts]
    assert len(on_page) >= 5
    for number in on_page:
        check(number, amounts[number.name[8:]], rel=1e-4, abs_=1e-4)
    logit = torch.as_tensor(trace.values["logits"])[position].max()
    assert account.total == pytest.approx(float(logit), rel=1e-4)

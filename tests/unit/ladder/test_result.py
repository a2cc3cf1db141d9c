"""The rule by which a rung is better, worse, or left open; and what changed."""

from collections.abc import Callable, Sequence

import pytest

from nextword.ladder.result import Ladder, largest_gain

Made = Callable[[dict[str, Sequence[float | None]]], Ladder]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([2.0, 2.1, 2.2], [1.7, 1.8, 1.9], "better"),
        ([2.0, 2.1, 2.2], [2.3, 2.4, 2.5], "worse"),
        ([2.0, 2.1, 2.2], [1.7, 1.8, 2.0], "open"),  # 2.0 is not below 2.0
        ([2.0, 2.1, 2.2], [1.7, 1.8, 2.05], "open"),
        ([2.0], [1.0], "open"),  # one seed may be luck
        ([2.0, 2.1, 2.2], [1.0, None, 1.0], "worse"),  # it broke off once
        ([None, None, 2.2], [2.5, 2.5, None], "better"),
        ([None, None], [None, None], "open"),
    ],
)
def test_the_verdict(
    made: Made, before: list[float | None], after: list[float | None], verdict: str
) -> None:
    first, second = made({"article": before, "scaled": after}).steps()
    assert first.verdict == "first"
    assert second.verdict == verdict


def test_mean_and_change(made: Made) -> None:
    first, second, third = made(
        {"article": [2.0, 3.0], "scaled": [1.0, None], "heads": [None, None]}
    ).steps()
    assert (first.loss, second.loss, third.loss) == (2.5, 1.0, None)
    assert (first.change, second.change, third.change) == (None, -1.5, None)
    assert (second.broken, third.broken) == (1, 2)
    assert first.steps == 130.5


def test_what_changed_is_read_from_the_settings(made: Made) -> None:
    first, heads, muon = made({"article": [2.0], "heads": [1.0], "muon": [0.5]}).steps()
    assert first.changed() == {}
    assert heads.changed() == {
        "n_heads": (1, 3), "n_kv_heads": (1, 3), "d_head": (6, 2), "scaled_scores": (False, True),
    }  # fmt: skip
    assert [rung.key for rung in heads.bringing] == ["scaled"]
    assert muon.changed()["optimizer"] == ("adamw", "muon")
    assert muon.bringing[0].key == "projection"


def test_the_largest_gain_is_a_clear_one(made: Made) -> None:
    ladder = made(
        {"article": [2.0, 4.0], "scaled": [1.5, 2.1], "heads": [1.4, 1.4], "projection": [1.3, 1.2]}
    )
    gain = largest_gain(ladder.steps())  # scaled gains more, but overlaps
    assert gain is not None
    assert gain.rung.key == "heads"
    assert largest_gain(ladder.steps()[:2]) is None
    fewer_broke = made({"article": [2.0, None], "scaled": [2.5, 2.5]})  # better, but no gain
    assert largest_gain(fewer_broke.steps()) is None


def test_json_has_every_number(made: Made) -> None:
    values = made({"article": [2.0, 3.0], "scaled": [1.0, 1.5]}).as_json()
    assert [rung["loss"] for rung in values["rungs"]] == [2.5, 1.25]
    assert values["rungs"][1]["settings"] == {"scaled_scores": [False, True]}
    assert values["rungs"][1]["verdict"] == "better"
    assert len(values["climbs"]) == 4
    assert values["versions"] == {"nextword": "0", "torch": "1"}

"""How often small data is gone through, and at which rates."""

from nextword.learn.passes import GENTLE, OFTEN, UNSURE, gentle, seen_often, unsure


def test_rates_that_were_asked_for_stay() -> None:
    assert gentle({"steps": 5}) == {"steps": 5} | GENTLE
    asked = gentle({"muon_learning_rate": 0.5})
    assert asked == {"learning_rate": GENTLE["learning_rate"], "muon_learning_rate": 0.5}


def test_adamw_alone_keeps_its_own_rate() -> None:
    assert gentle({"optimizer": "adamw"}) == {"optimizer": "adamw"}


def test_often_begins_at_its_number_of_passes() -> None:
    assert seen_often(OFTEN) and not seen_often(OFTEN - 0.01)


def test_dropout_that_was_asked_for_stays() -> None:
    assert unsure({"steps": 5}) == {"steps": 5} | UNSURE
    assert unsure({"dropout": 0.0})["dropout"] == 0.0

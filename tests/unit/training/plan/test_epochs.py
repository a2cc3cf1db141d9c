"""From which number of epochs on training is gentler, and that settings asked for always win."""

from nextword.training.plan.epochs import (
    GENTLE,
    REGULARIZED,
    SMALL_DATA_EPOCHS,
    is_small_data,
    with_gentle_rates,
    with_regularization,
)


def test_learning_rates_that_were_asked_for_win() -> None:
    assert with_gentle_rates({"steps": 5}) == {"steps": 5} | GENTLE
    asked = with_gentle_rates({"muon_learning_rate": 0.5})
    assert asked == {"learning_rate": GENTLE["learning_rate"], "muon_learning_rate": 0.5}


def test_adamw_alone_keeps_its_default_learning_rate() -> None:
    assert with_gentle_rates({"optimizer": "adamw"}) == {"optimizer": "adamw"}


def test_data_is_small_from_a_number_of_epochs_on() -> None:
    assert is_small_data(SMALL_DATA_EPOCHS)
    assert not is_small_data(SMALL_DATA_EPOCHS - 0.01)


def test_dropout_that_was_asked_for_wins() -> None:
    assert with_regularization({"steps": 5}) == {"steps": 5} | REGULARIZED
    assert with_regularization({"dropout": 0.0})["dropout"] == 0.0

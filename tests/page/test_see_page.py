"""The numbers of docs/see.md are those of the article's model."""

import re

from tests.page import models
from tests.page.truth import Truth, account
from tests.page.vendor_files import ROOT

POSITION = 3  # of the end token that ends the prompt
AWESOME, NEXTWORD = 3, 2


def rounded(value: float, digits: int = 4) -> str:
    """As the page prints it."""
    return f"{value:.{digits}f}".replace("-", "−")


def known() -> set[str]:
    """Every number that the walk may quote, as it is printed."""
    truth = Truth(models.seed2().ids(models.DIALOGUE))
    values = [
        number
        for array in truth.values.values()
        for number in (array[:, POSITION] if array.ndim == 3 else array[POSITION]).ravel()
    ]
    names = [f"carried[0,0,3,{s},{d}]" for s in range(4) for d in range(2)] + ["read.loss"]
    values += [truth(name, position=POSITION) for name in names]
    values += account(truth.values, POSITION, AWESOME, None).values()
    against = account(truth.values, POSITION, AWESOME, NEXTWORD)["by_word.1"]
    percent = 100 * truth(f"probabilities[3,{AWESOME}]", position=POSITION)
    return {rounded(value) for value in values} | {rounded(against, 2), rounded(percent, 1)}


def test_every_number_of_the_walk() -> None:
    text = (ROOT / "docs/see.md").read_text(encoding="utf-8")
    quoted = re.findall(r"−?\d+\.\d+", text.replace("127.0.0.1", "the address"))
    assert len(quoted) > 40
    assert [number for number in quoted if number not in known()] == []

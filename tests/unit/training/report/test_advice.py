"""Every row of the rule, from numbers that just reach it, and the page that shows it."""

from pathlib import Path
from typing import Any

import pytest

from nextword.training.report.advice import TABLE, Numbers, advise

PAGE = Path(__file__).parents[4] / "docs" / "advice.md"
FINE: dict[str, Any] = {  # a gap of 7 %, neither wide nor narrow
    "n_held_out": 5000,
    "held_out_loss": 2.14,
    "training_loss": 2.0,
    "per_parameter": 30.0,
}
CASES: list[tuple[dict[str, Any], int, str]] = [  # what differs from FINE, the row, the line
    (
        {"n_no_room": 30, "n_held_out": 0},
        0,
        "a longer context (--context): none of 30 replies fits into it after its prompt",
    ),
    (
        {"n_contradictory": 6, "n_held_out": 0},
        1,
        "one reply to each prompt in the data: 6 replies stand after prompts that have others, too",
    ),
    (
        {"given": 0.9899, "n_too_long": 3, "n_phrasings": 10},
        2,
        "more time (--minutes, --steps): 99.0% of the given replies are as given",
    ),
    (
        {"given": 0.5, "minutes_needed": 6.1},
        2,
        "more time (--minutes, --steps): 50.0% of the given replies are as given; about 7 minutes "
        "would suffice for all",
    ),
    (
        {"given": 0.99, "n_too_long": 3, "n_phrasings": 10},
        3,
        "a longer context (--context): 3 replies do not fit into it",
    ),
    (
        {"given": 0.99, "n_phrasings": 10, "phrasings": 0.79},
        4,
        "more phrasings of each prompt in the data: 79% of 10 other phrasings were answered right",
    ),
    (
        {"given": 0.995, "n_phrasings": 10, "phrasings": 0.8, "n_held_out": 0, "rise": 0.5},
        5,
        "nothing to mend: 99.5% of the given replies are as given",
    ),
    (
        {"given": 1.0, "n_phrasings": 0, "phrasings": 0.0},
        5,
        "nothing to mend: 100.0% of the given replies are as given",
    ),
    (
        {"n_held_out": 0},
        6,
        "hold something out (--held-out 0.1, or more different dialogues): nobody can tell what it "
        "learned from what it repeats",
    ),
    (
        {"n_shared": 20, "n_compared": 40, "n_held_out": 499, "exact": 1.0},
        7,
        "other data to evaluate on (--held-out FILE): 20 of 40 held-out documents stand in "
        "training, too, so nobody can tell what it learned from what it repeats",
    ),
    (
        {"n_held_out": 499, "exact": 1.0},
        8,
        "more to evaluate on (--held-out, or more data): only 499 tokens were held out, too few to "
        "judge by",
    ),
    (
        {
            "n_held_out": 500,
            "n_shared": 19,
            "n_compared": 40,
            "exact": 0.95,
            "stopped": 1.0,
            "rise": 0.5,
        },
        9,
        "nothing to mend: 95% of the replies are word for word the data's",
    ),
    (
        {"rise": 0.021, "lowest_at": 1400, "held_out_loss": 3.0, "exact": 0.94},
        10,
        "fewer steps (--steps, --minutes): the held-out loss was lowest after step 1,400 and has "
        "risen by 2.1% since",
    ),
    (
        {"rise": 0.019, "held_out_loss": 2.25, "copied": 0.46, "usual": 0.24},
        11,
        "a smaller model (--depth, --width): it has room to learn the text by heart: the held-out "
        "loss is 12.5% above the training loss, and 46% of its outputs stand word for word in the "
        "training text, of real text 24%",
    ),
    (
        {"held_out_loss": 2.25, "copied": 0.42, "usual": 0.24},
        12,
        "more data: the held-out loss is 12.5% above the training loss",
    ),
    (
        {"held_out_loss": 2.19, "copied": 0.46, "usual": 0.24, "stopped": 0.0},
        13,
        "more data: 46% of its outputs stand word for word in the training text, of real text 24%",
    ),
    (
        {"stopped": 0.89, "exact": 0.0, "training_loss": 2.14},
        14,
        "more steps (--steps, --minutes): only 89% of the replies end by themselves",
    ),
    (
        {"held_out_loss": 2.08, "per_parameter": 19.9, "stopped": 0.9},
        15,
        "more steps (--steps, --minutes): it learned from only 19.9 tokens for each parameter",
    ),
    (
        {"held_out_loss": 2.08, "per_parameter": 20.0},
        16,
        "a larger model (--depth, --width): after 20 tokens for each parameter the held-out loss "
        "is 4.0% above the training loss",
    ),
    (
        {"held_out_loss": 1.9},
        16,
        "a larger model (--depth, --width): after 30 tokens for each parameter the held-out loss "
        "is 5.0% below the training loss",
    ),
    ({}, 17, "nothing to mend: the held-out loss is 7.0% above the training loss"),
    (
        {"held_out_loss": 0.12, "training_loss": 0.08},  # 50 %, but of next to nothing
        17,
        "nothing to mend: the held-out loss is 50.0% above the training loss",
    ),
]


@pytest.mark.parametrize(("differs", "row", "line"), CASES)
def test_the_first_row_that_holds_gives_the_advice(
    differs: dict[str, Any], row: int, line: str
) -> None:
    numbers = Numbers(**(FINE | differs))
    assert next(place for place, one in enumerate(TABLE) if one.holds(numbers)) == row
    assert advise(numbers) == line


def test_every_row_has_a_case() -> None:
    assert {row for _, row, _ in CASES} == set(range(len(TABLE)))


def test_the_page_shows_the_table_row_for_row() -> None:
    _, rule = PAGE.read_text(encoding="utf-8").split("## The rule")
    shown = [line for line in rule.splitlines() if line.startswith("| ")][2:]
    assert shown == [f"| {row.when} | {row.advice} |" for row in TABLE]

"""A lesson in sentences, against one made by hand."""

import dataclasses
import json
import subprocess
import sys

import pytest
from tests.unit.teach.samples import PROMPT, lesson, not_learned, phrasing, taught

from nextword.teach import lesson_text
from nextword.teach.evaluation.metrics import Locality
from nextword.teach.lesson import Lesson


def test_every_target_before_and_after() -> None:
    assert lesson_text.before_after(lesson()) == [
        "who sat? → a cat",
        "  3, after “<|end|>”: “a” ✓ 75 % → ✓ 88 %",
        "  4, after “a”: “cat” ✗ 12 % (said “dog”) → ✓ 62 %",
        "  5, after “cat”: “<|end|>” ✗ 25 % (said “a”) → ✓ 94 %",
        "asked otherwise: tell who sat → a cat",
        "  3, after “<|end|>”: “a” ✓ 62 % → ✓ 75 %",
        "  4, after “a”: “cat” ✗ 6.2 % (said “dog”) → ✗ 38 % (said “dog”)",
        "  5, after “cat”: “<|end|>” ✗ 25 % (said “a”) → ✓ 75 %",
    ]


def test_the_measures_name_their_counts() -> None:
    assert lesson_text.measures(lesson()) == (
        "next words, after the right words before each: reliability 100 % (3 of 3) · generality "
        "66.7 % (2 of 3) · locality 99.8 % of 4,096 known, 98.8 % of 1,021 held-out next words"
    )


def test_whole_replies_come_first_and_those_that_changed_are_listed() -> None:
    assert lesson_text.replies(lesson(), 1) == [
        "whole replies, generated: reliability 1 of 1 · generality 0 of 1 · locality 98.4 % of 64 "
        "known (64 of 310, seeded sample), 93.5 % of 31 held-out replies unchanged",
        "3 replies elsewhere changed:",
        "  “who saw?”: “a dog” → “a cat” (known)",
        "  and 2 more",
    ]
    told = lesson_text.told(lesson())
    assert told.index(lesson_text.replies(lesson())[0]) < told.index(lesson_text.measures(lesson()))
    assert lesson_text.replies(not_learned()) == [
        "whole replies, generated: reliability 0 of 1 · locality 100 % of 64 known replies "
        "unchanged"
    ]


def test_of_an_older_record_no_replies_are_told() -> None:
    older = lesson().as_json()
    for name in [name for name in older if "replies" in name or name.startswith("reply_")]:
        del older[name]
    for sentence in older["sentences"]:
        for name in ("exact_before", "exact_after", "reply_from"):
            del sentence[name]
    read = Lesson.from_json(older)
    assert read.known_replies is None and read.changed_replies == ()
    assert lesson_text.replies(read) == []
    assert lesson_text.measures(read) == lesson_text.measures(lesson())


def test_without_phrasings_and_held_out_text_nothing_is_said_of_them() -> None:
    assert lesson_text.measures(not_learned()) == (
        "next words, after the right words before each: reliability 66.7 % (2 of 3) · locality "
        "100 % of 4,096 known next words"
    )


def test_what_is_newly_wrong_and_how_much_more() -> None:
    lines = lesson_text.newly_wrong(lesson(n_newly_wrong=7), 2)
    assert lines == [
        "7 of 3,500 words that it had right elsewhere are newly wrong, 1 newly right:",
        "  … who saw a ▸ “dog” 50 % → 25 %, now says “cat” (known)",
        "  … tell a ▸ “dog” 62 % → 38 %, now says “cat” (known)",
        "  and 5 more",
    ]
    assert lesson_text.newly_wrong(lesson())[-1].endswith("▸ “sat” 75 % → 12 %, now says “<|end|>” "
                                                      "(held out)")  # fmt: skip


def test_where_nothing_was_right_nothing_can_be_newly_wrong() -> None:
    empty = Locality(n=0, kept=0, kl=0.0, was_right=0, newly_wrong=0, newly_right=0)
    assert lesson_text.newly_wrong(not_learned(known=empty)) == []


def test_the_course() -> None:
    assert lesson_text.course(lesson()) == (
        "loss 1.2500 → 0.2500 nats in 2 steps and 0.5 s, judged in 0.8 s"
    )
    assert " in 1 step and " in lesson_text.course(not_learned())


def test_the_largest_changes_come_first_for_their_length() -> None:
    head, *rows = lesson_text.changes(lesson())
    assert head.endswith("that one number moved:")
    assert [row.split() for row in rows] == [
        ["blocks.0.attention.query.weight", "12.5", "%", "0.03"],
        ["token_embedding.weight", "1", "%", "0.002"],
    ]
    head, *rows = lesson_text.changes(lesson(), 1)
    assert len(rows) == 1
    assert head.endswith("; 1 other moved less:")
    assert lesson_text.changes(not_learned()) == []


def test_told_has_all_parts_in_their_order() -> None:
    made = lesson()
    assert lesson_text.told(made) == [
        made.why,
        *lesson_text.before_after(made),
        *lesson_text.replies(made),
        lesson_text.measures(made),
        *lesson_text.newly_wrong(made),
        lesson_text.course(made),
        *lesson_text.changes(made),
    ]


def test_what_a_lesson_needs() -> None:
    assert lesson_text.need(24_400_000, scope="all", n_taught=1_049_728) == (
        "This lesson needs about 24 MB (all weights, 1,049,728 numbers)."
    )
    assert "3.1 GB (an adapter, " in lesson_text.need(3_100_000_000, scope="adapter", n_taught=5)


def test_titles_of_pairs_turns_and_single_words() -> None:
    assert lesson_text.titled([PROMPT], "a cat") == "who sat? → a cat"
    assert lesson_text.titled(["hi", "hello", "who\nsat?"], "a cat") == (
        "(2 turns before) who↵sat? → a cat"
    )
    word = taught(prompt=(), reply=" cat", positions=taught().positions[1:2])
    assert lesson_text.title(word) == "… a → cat"
    several = lesson(sentences=(taught(), taught(), taught(), phrasing()))
    assert lesson_text.lesson_title(several) == "who sat? → a cat and 2 more"


@pytest.mark.parametrize(
    ("count", "of", "shown"),
    [
        (0, 0, "100 %"),
        (3, 3, "100 %"),
        (0, 3, "0 %"),
        (9999, 10_000, "99.9 %"),
        (1, 10_000, "0.1 %"),
        (1, 3, "33.3 %"),
    ],
)
def test_all_and_none_are_never_rounded_to(count: int, of: int, shown: str) -> None:
    assert lesson_text.part(count, of) == shown


def test_a_token_that_would_move_the_cursor_is_shown() -> None:
    assert lesson_text.named(" cat\x1b") == "“cat␛”"
    assert lesson_text.named(" ") == "“ ”"


def test_the_sample_can_be_read_from_its_json() -> None:
    made = lesson(number=7)
    assert Lesson.from_json(json.loads(json.dumps(made.as_json()))) == made
    assert dataclasses.replace(made, number=None) == lesson()


def test_it_loads_without_torch() -> None:
    code = "import sys, nextword.teach.lesson_text; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Stop strings in streamed text."""

import pytest

from nextword.generate.stop_strings import StopAt


def run(stops: list[str], pieces: list[str]) -> list[str]:
    """What each piece brings out, and at last what `finish` does."""
    stop = StopAt(stops)
    return [stop.push(piece)[0] for piece in pieces] + [stop.finish()]


def test_without_stop_strings_all_passes_at_once() -> None:
    stop = StopAt()
    assert stop.push("a\n") == ("a\n", False)
    assert stop.push("") == ("", False)
    assert stop.finish() == ""


def test_a_stop_string_over_several_pieces() -> None:
    stop = StopAt(["\nQ:"])
    assert stop.push("yes\n") == ("yes", False)
    assert stop.push("Q") == ("", False)
    assert stop.push(": and") == ("", True)
    assert stop.done
    assert stop.push("more") == ("", True)
    assert stop.finish() == ""


def test_text_before_the_stop_string_in_the_same_piece_passes() -> None:
    assert StopAt(["ENDE"]).push("one ENDE two") == ("one ", True)


def test_a_false_start_is_given_back() -> None:
    assert run(["abc"], ["xab", "d"]) == ["x", "abd", ""]


def test_a_false_start_may_hold_a_true_one() -> None:
    assert run(["aab"], ["aa", "a", "b!"]) == ["", "a", "", ""]


def test_what_is_held_back_comes_at_the_end() -> None:
    assert run(["abc"], ["ab"]) == ["", "ab"]


@pytest.mark.parametrize("pieces", [["abcd"], ["abc", "d"], ["a", "b", "c", "d"]])
def test_the_stop_string_complete_first_wins_however_the_text_is_cut(pieces: list[str]) -> None:
    assert "".join(run(["abcd", "bc"], pieces)) == "a"


def test_of_two_complete_together_the_longer_wins() -> None:
    assert run(["b", "ab"], ["xab"]) == ["x", ""]


def test_the_earliest_of_several_stop_strings() -> None:
    assert StopAt(["three", "two"]).push("one two three") == ("one ", True)


def test_characters_beyond_ascii() -> None:
    assert run(["。終"], ["はい。", "終わり"]) == ["はい", "", ""]

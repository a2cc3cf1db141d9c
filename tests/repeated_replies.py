"""Small dialogues in which every reply stands several times, each time behind another prompt."""

import json
from pathlib import Path

from tests.small_runs import WORDS

FIRST, SECOND = 9, 3  # steps of both rounds of 12: a fifth, rounded up, is the second one's


def write_repeated_replies(path: Path) -> Path:
    """Ten replies of three words, each to four prompts of three words that begin alike."""
    pairs = [
        {
            "prompt": f"{WORDS[number]} {WORDS[place]} {WORDS[(place + number) % 11]}",
            "reply": f"{WORDS[number]} {WORDS[(3 * number) % 11]} {WORDS[number + 1]}",
        }
        for place in range(4)
        for number in range(10)
    ]
    path.write_text("\n".join(map(json.dumps, pairs)))
    return path


def write_talks(path: Path) -> Path:
    """Forty dialogues of two turns with the same two replies; each first prompt stands often."""
    roles = ["user", "assistant"] * 2
    talks = [
        [WORDS[number % 2], WORDS[3], f"{WORDS[number % 11]} {WORDS[number // 11]}", WORDS[5]]
        for number in range(40)
    ]
    records = [
        [{"role": role, "content": turn} for role, turn in zip(roles, turns, strict=True)]
        for turns in talks
    ]
    path.write_text("\n".join(json.dumps({"messages": each}) for each in records))
    return path

"""Real texts, one command each: what is reached, in how long.

    shakespeare   characters, nanoGPT's CPU sizes and steps; its own recipe reaches 1.88
    wikitext      byte-level BPE on one WikiText-2 file, judged by the other: bits per byte
    gsm8k         grade-school problems from JSONL as it is; do its replies end by themselves?

Run: python benchmarks/real_texts.py NAME … [--data ../shared/data] [--out out/bench]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import DATA, save, train_whole

FIRST = 200  # prompts of the test set
COMMANDS = {
    "shakespeare": "train {data}/tinyshakespeare.txt --tokenizer characters --preset gpt2 "
    "--layers 4 --heads 4 --width 128 --context 64 --batch 12 --steps 2000",
    "wikitext": "train {data}/wikitext2-valid.txt --held-out {data}/wikitext2-test.txt --minutes 5",
    "gsm8k": "train {data}/gsm8k-train.jsonl --held-out {data}/gsm8k-test.jsonl --minutes 8 "
    "--aim generalize",
}


def run(name: str, *, data: Path, out: Path) -> dict[str, Any]:
    """Run one command in a process of its own; what it printed goes beside the model."""
    folder = out / name
    command = COMMANDS[name].format(data=data)
    seconds, summary = train_whole(command, folder)
    scores = summary["scores"]
    replies = first_replies(folder, data / "gsm8k-test.jsonl", out) if name == "gsm8k" else {}
    return {
        "name": name,
        "held-out loss": scores["loss"],
        "bits per byte": scores["bits_per_byte"],
        "top-1": scores["top1"],
        "replies": replies.get("n_replies", "–"),
        "ended by the end token": replies.get("ended", "–"),
        "word for word": replies.get("exact", "–"),
        "steps": summary["steps"],
        "seconds, whole process": seconds,
        "command": f"nextword {command} --out OUT --fresh".replace(str(data), "DATA"),
    }


def first_replies(folder: Path, data: Path, out: Path) -> dict[str, Any]:
    """Let the model reply to the first 200 prompts; a reply without end token is counted."""
    first = out / "first-200.jsonl"
    first.write_text("".join(data.read_text().splitlines(keepends=True)[:FIRST]))
    words = [sys.executable, "-m", "nextword", "evaluate", str(folder), str(first)]
    words += ["--replies", "all", "--json"]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    replies = json.loads(printed)["replies"]
    return {
        "n_replies": replies["scores"]["n_replies"],
        "ended": replies["scores"]["stopped"],
        "exact": replies["scores"]["exact"],
    }


def main() -> None:
    """Run those that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(COMMANDS))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    given = parser.parse_args()
    for name in given.names:
        row = run(name, data=given.data, out=given.out)
        save(name, command=f"python benchmarks/real_texts.py {name}", rows=[row])


if __name__ == "__main__":
    main()

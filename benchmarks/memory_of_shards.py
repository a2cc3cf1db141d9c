"""How much memory does it take to prepare a large text? Makes one, prepares it, prints the peak.

    python benchmarks/memory_of_shards.py [--gigabytes 1] [--kind text|dialogues] [--folder TMP]

Unix only, because the peak is the kernel's own count of this process (`ru_maxrss`).
"""

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from common import save
from nextword.data.corpus import open_corpus
from nextword.data.shards.token_shards import prepare
from nextword.tokenizer.tokenizer import Tokenizer

VOCABULARY = 8192


def main() -> None:
    """Measure, print a table, write results/memory_of_shards.json."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--gigabytes", type=float, default=1.0)
    options.add_argument("--kind", choices=["text", "dialogues"], default="text")
    options.add_argument("--folder", type=Path, help="where the temporary files go")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        row = measured(Path(folder), int(given.gigabytes * 1e9), given.kind)
    command = f"python benchmarks/memory_of_shards.py --gigabytes {given.gigabytes:g}"
    save("memory_of_shards", command=f"{command} --kind {given.kind}", rows=[row])


def measured(folder: Path, size: int, kind: str) -> dict[str, object]:
    """Peak memory before and after `prepare`, in MB, and its speed."""
    path = folder / ("corpus.txt" if kind == "text" else "corpus.jsonl")
    write_corpus(path, size, kind)
    sample = (line for line, _ in zip(lines(1), range(20_000), strict=False))
    tokenizer = Tokenizer.learn(sample, kind="bpe", vocab_size=VOCABULARY)
    before = peak()
    began = time.perf_counter()
    shards = prepare(open_corpus([path]), tokenizer, folder / "shards")
    seconds = time.perf_counter() - began
    return {
        "kind": kind,
        "bytes": path.stat().st_size,
        "tokens": shards.n_tokens,
        "seconds": round(seconds, 1),
        "megabytes_per_second": round(path.stat().st_size / seconds / 1e6, 2),
        "peak_before_mb": round(before),
        "peak_mb": round(peak()),
        "peak_added_mb": round(peak() - before),
    }


def write_corpus(path: Path, size: int, kind: str) -> None:
    """Write a corpus of about `size` bytes."""
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for line in lines(2):
            record = json.dumps({"prompt": line, "reply": line[::-1]})
            written += file.write(f"{line}\n" if kind == "text" else f"{record}\n")
            if written >= size:
                return


def lines(seed: int) -> Iterator[str]:
    """Lines of made-up words without end; a word's frequency falls with its number."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = [
        "".join(draw.choices(letters, range(26, 0, -1), k=draw.randint(1, 9)))
        for _ in range(20_000)
    ]
    weights = [1 / (number + 1) for number in range(len(words))]
    while True:
        chosen = draw.choices(words, weights, k=10_000)
        yield from (" ".join(chosen[at : at + 10]) + "." for at in range(0, len(chosen), 10))


def peak() -> float:
    """The most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    main()

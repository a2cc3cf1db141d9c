"""Does speed hold as the model, its context or its batch grows? A table and a picture.

A training step with the defaults (qwen3, Muon, the precision that suits the processor) at sizes
from 0.1 to 124 million parameters, contexts from 64 to 4096 and batches from 1 to 64 sequences.
What compares them is the share of the machine's measured matrix peak. A point below half of the
best one of its line is marked, and REASONS has to say why it may be.

Run: python benchmarks/growth.py [--seconds 4]; about eight minutes on two cores
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from common import RESULTS, save, table
from nextword.common.files import write_whole
from nextword.config import ModelConfig
from nextword.presets import preset
from nextword.training.backends.allocator import kept_memory, settled_objects
from nextword.training.backends.data_parallel import flops_per_token
from nextword.training.backends.precision import peak_of
from nextword.training.report.loss_chart import HEIGHT, WIDTH, Series, curves_svg
from steps import Step, gpt2_124m

VOCABULARY = 68  # tiny Shakespeare's characters
BATCH_TOKENS = 4096
CONTEXT = 256
SIZES = {"1 M": (4, 128), "10 M": (6, 384)}  # name → layers and width
SHAPES = ((2, 64), (4, 64), (3, 128), (4, 192), (4, 256), (6, 384), (8, 512))  # layers, width
CONTEXTS = (64, 128, 256, 512, 1024, 2048, 4096)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
AXES = {  # what grows → its axis, the base of its logarithm
    "parameters": ("parameters, as a power of ten", 10),
    "context": ("context, tokens, as a power of two", 2),
    "batch": ("batch, sequences, as a power of two", 2),
}
FEW_TOKENS = "the optimizer's work, Muon's most of all, is the same for a step of few tokens"
LOWER_PEAK = (
    "the best is one row, which cannot be dealt out and so stays float32: it is the slowest of its "
    "line, but near to a peak that is a quarter to a half of that of whole numbers"
)
REASONS: dict[tuple[str, str, int], str] = {  # (grows, line, value) → why it is below half
    ("parameters", "defaults", 123552768): FEW_TOKENS,  # 4 × 256, for the others 16 × 256
    **{("context", name, context): LOWER_PEAK for name in SIZES for context in CONTEXTS[:-1]},
    **{("batch", "1 M", rows): FEW_TOKENS for rows in (1, 2)},
    **{("batch", "10 M", rows): FEW_TOKENS for rows in (1, 2, 4)},
}


@dataclass(frozen=True)
class Point:
    """One measurement to be made: which line it belongs to, and the step."""

    grows: str
    line: str
    config: ModelConfig
    batch: int


def model(layers: int, width: int, *, context: int = CONTEXT) -> ModelConfig:
    """The default preset with these sizes."""
    sizes = {"d_model": width, "n_layers": layers}
    return preset("qwen3", vocab_size=VOCABULARY, context_length=context, **sizes)


def points() -> list[Point]:
    """Everything that is measured."""
    batch = BATCH_TOKENS // CONTEXT
    found = [Point("parameters", "defaults", model(*shape), batch) for shape in SHAPES]
    found.append(Point("parameters", "defaults", gpt2_124m("qwen3", context=CONTEXT), 4))
    for name, shape in SIZES.items():
        for context in CONTEXTS:
            rows = BATCH_TOKENS // context
            found.append(Point("context", name, model(*shape, context=context), rows))
        found += [Point("batch", name, model(*shape), rows) for rows in BATCHES]
    return found


def measure(point: Point, *, seconds: float) -> dict[str, Any]:
    """Speed and share of the peak of one point."""
    step = Step(point.config, batch=point.batch)
    decoder, context = step.decoder, point.config.context_length
    speed = step.tokens / step.seconds(at_least=seconds)
    peak = peak_of(decoder)
    grown = {"parameters": decoder.n_parameters, "context": context, "batch": point.batch}
    return {
        "grows": point.grows,
        "line": point.line,
        "value": grown[point.grows],
        "parameters": decoder.n_parameters,
        "batch": f"{point.batch} × {context}",
        "precision": decoder.precision,
        "tokens/s": speed,
        "share of peak": speed * flops_per_token(decoder, context) / peak,
    }


def mark(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, each against the best of its line, and the reason where it is below half."""
    marked = []
    for row in rows:
        line = [other for other in rows if (other["grows"], other["line"]) == key_of(row)]
        best = max(other["share of peak"] for other in line)
        low = row["share of peak"] < best / 2
        reason = REASONS.get((*key_of(row), row["value"]), "no reason is written yet")
        against = {"against the best": row["share of peak"] / best}
        marked.append(row | against | {"below half": reason if low else "–"})
    return marked


def key_of(row: dict[str, Any]) -> tuple[str, str]:
    """The line that a row belongs to."""
    return row["grows"], row["line"]


def picture(rows: Sequence[dict[str, Any]]) -> str:
    """Six panels: share of the peak and tokens/s, against parameters, context and batch."""
    panels = []
    for down, grows in enumerate(AXES):
        for right, (column, label) in enumerate(
            (("share of peak", "% of the matrix peak"), ("tokens/s", "tokens/s, as a power of ten"))
        ):
            place = f'<svg x="{right * WIDTH}" y="{down * HEIGHT}" '
            panels.append(panel(rows, grows, column, label).replace("<svg ", place, 1))
    size = f'width="{2 * WIDTH}" height="{len(AXES) * HEIGHT}"'
    box = f'viewBox="0 0 {2 * WIDTH} {len(AXES) * HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box}>'
    return "\n".join([head, *panels, "</svg>"]) + "\n"


def panel(rows: Sequence[dict[str, Any]], grows: str, column: str, label: str) -> str:
    """One curve per line over the logarithm of what grows."""
    axis, base = AXES[grows]
    mine = [row for row in rows if row["grows"] == grows]

    def height(row: dict[str, Any]) -> float:
        value: float = row[column]
        return 100 * value if column == "share of peak" else math.log10(value)

    series = [
        Series(
            name,
            [(math.log(row["value"], base), height(row)) for row in mine if row["line"] == name],
        )
        for name in dict.fromkeys(row["line"] for row in mine)
    ]
    return curves_svg(series, title=f"Training: {column}", x_label=axis, y_label=label)


def main() -> None:
    """Measure every point, then save the table and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of steps, for each point")
    parser.add_argument("--only", nargs="*", type=int, help="these points, and save nothing")
    given = parser.parse_args()
    torch.manual_seed(0)
    every = points()
    chosen = every if given.only is None else [every[index] for index in given.only]
    with kept_memory(), settled_objects():
        rows = mark([measure(point, seconds=given.seconds) for point in chosen])
    if given.only is not None:
        print(table(rows))
        return
    write_whole(RESULTS / "growth.svg", picture(rows))
    save("growth", command="python benchmarks/growth.py", rows=rows)


if __name__ == "__main__":
    main()

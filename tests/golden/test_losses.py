"""The first losses of a fixed run of each preset: a change of the numbers is never by accident.

    pytest tests/golden --regenerate-golden

writes losses.json anew; do so only when a change of the numbers is meant, and say why in
docs/lab-log.md.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.small_runs import quick, request, write_dialogues

from nextword.presets import PRESETS
from nextword.training.pipeline import train

LOSSES = Path(__file__).with_name("losses.json")
STEPS = 20
TOLERANCE = 1e-3  # rounding differs between processors, and Muon passes it on


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_losses_are_what_they_were(
    preset: str, regenerate: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    model = {"d_model": 16} if preset == "seed" else {"d_model": 16, "n_layers": 2, "n_heads": 2}
    training = {"evaluate_every": STEPS, "checkpoint_every": STEPS}
    settings: dict[str, Any] = {"preset": preset, "model": model, "steps": STEPS}
    train(request(data, tmp_path / "out", training=training, aim="generalize", **settings))
    lines = (tmp_path / "out" / "training" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert len(losses) == STEPS
    golden = json.loads(LOSSES.read_text()) if LOSSES.exists() else {}
    if regenerate:
        LOSSES.write_text(json.dumps(golden | {preset: losses}, indent=2) + "\n")
        pytest.skip(f"the losses of {preset} were written anew")
    assert losses == pytest.approx(golden[preset], rel=TOLERANCE)

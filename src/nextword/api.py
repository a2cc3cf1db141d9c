"""The two functions that most programs start with: train and load."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nextword.config import config_from
from nextword.language_model import LanguageModel
from nextword.training.pipeline import train as run_training
from nextword.training.report.reporters import Reporter
from nextword.training.request import TrainRequest


def load(folder: str | Path, *, device: str = "cpu") -> LanguageModel:
    """Open a model's folder: one that `train` wrote, or a Llama, Qwen or GPT-2 one.

    Args:
        folder: with config.json, model.safetensors and tokenizer.json.
        device: "cpu", "cuda", "mps" or "auto".

    Raises:
        FolderError: it is no model, is damaged, or is of an unknown family.
    """
    return LanguageModel.load(folder, device=device)


def train(
    data: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    reporter: Reporter | None = None,
    fresh: bool = False,
    **settings: Any,
) -> LanguageModel:
    """Train a model from data, and open it.

    Calling it again with the same arguments goes on with a run that was interrupted.

    Args:
        data: files or folders of text or dialogues, or `"nextword:dialogues"`.
        out: the model's folder.
        reporter: is told how it goes (`nextword.training.report.reporters`); None: nobody.
        fresh: start over where the folder holds an earlier run.
        settings: of `nextword.training.request.TrainRequest`: preset, depth, steps, minutes, …

    Raises:
        NextwordError: see `nextword.errors`.
    """
    paths = [data] if isinstance(data, str | Path) else list(data)
    values = {"data": tuple(str(path) for path in paths), "out": Path(out), **settings}
    request = config_from(TrainRequest, values)
    run_training(request, reporter=reporter, fresh=fresh)
    return load(out)

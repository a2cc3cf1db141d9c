"""Requests on a small text, for tests of what is planned for them."""

from pathlib import Path
from typing import Any

from nextword.training.request import TrainRequest


def asked(folder: Path, path: Path | None = None, **settings: Any) -> TrainRequest:
    """Return a request for a text in `folder`, with a context of 32 words."""
    values: dict[str, Any] = {"tokenizer": "words", "context": 32} | settings
    return TrainRequest(data=(str(path or folder / "a.txt"),), out=folder / "out", **values)

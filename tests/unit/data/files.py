"""Small files of dialogues, and what is read from them or said of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from nextword.data.corpus import open_corpus
from nextword.data.dialogue import Dialogue, Document
from nextword.errors import DataError

PAIRS = [{"prompt": "one", "reply": "eins"}, {"prompt": "two", "reply": "zwei"}]
DIALOGUES = [Dialogue(("one", "eins")), Dialogue(("two", "zwei"))]
LINES = "".join(json.dumps(pair) + "\n" for pair in PAIRS)


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: str | Path, **options: Any) -> list[Document]:
    return list(open_corpus([path], **options))


def refusal(path: str | Path) -> str:
    with pytest.raises(DataError) as caught:
        list(open_corpus([path]))
    return str(caught.value)

"""A model's folder with damage in one of its small files: it opens as it was, or is refused.

Never is there another error than a NextwordError, and with checksums never another model.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.formats.huggingface.models import IDS, LLAMA, model, random_decoder

from nextword.errors import NextwordError
from nextword.formats.huggingface.save_load import LoadedModel, load_model, save_model
from nextword.tokenizer.tokenizer import Tokenizer

FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "SHA256SUMS",
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.0, -1.5, 1e308, -1e308, float("nan"), float("inf"),
    2**31, 2**32, 2**53, 2**63, 2**64, 10**100, 10**4200, "", "x", "\0", "é" * 300, [], [[]], [0],
    ["x"], [None], {}, {"x": {}}, {"type": "x"}, {"content": 7}, [7] * 300,
)  # fmt: skip
DIGITS, SURROGATE = "9" * 5000, "\\ud800"  # what json.dumps would not write
TEXT = "the cat saw\n  the mat, ümlaut"
Mutate = Callable[[bytes, random.Random], bytes]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container below `value` with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def flip(content: bytes, draw: random.Random) -> bytes:
    """Flip a bit."""
    damaged = bytearray(content)
    damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Leave out the end."""
    return content[: draw.randrange(len(content))]


def splice(content: bytes, draw: random.Random) -> bytes:
    """Put a piece of the file somewhere else in it."""
    start, place = draw.randrange(len(content)), draw.randrange(len(content))
    return content[:place] + content[start : start + draw.randrange(40)] + content[place:]


def replaced(content: bytes, draw: random.Random) -> bytes:
    """Put an odd value in the place of one of a JSON file; other files get odd bytes."""
    try:
        value = json.loads(content)
    except ValueError:
        place = draw.randrange(len(content))
        return content[:place] + draw.choice((b"\xff", b"\n", b"\0", b"{% for")) + content[place:]
    container, key = draw.choice(list(places(value)))
    if draw.random() < 0.2:
        del container[key]
    else:
        container[key] = draw.choice((*ODD, "@digits", "@surrogate"))
    text = json.dumps(value).replace('"@digits"', DIGITS).replace("@surrogate", SURROGATE)
    return text.encode("utf-8")


def outcome(loaded: LoadedModel) -> tuple[Any, ...]:
    """Use a model at every door; what comes out."""
    tokenizer = loaded.tokenizer
    ids = tokenizer.encode(TEXT)
    stream = tokenizer.stream()
    pieces = [*(stream.push(id) for id in ids), stream.finish()]
    with torch.inference_mode():
        logits = loaded.decoder(IDS).nan_to_num().tolist()
    return (
        loaded.kind, loaded.chat_template, ids, tokenizer.decode(ids), pieces, logits,
        tokenizer.end_ids, tokenizer.pad_id, [tokenizer.token(id) for id in {*ids, 0}],
    )  # fmt: skip


@pytest.fixture(scope="module", params=["words", "bpe"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound folder."""
    path = tmp_path_factory.mktemp("damaged") / "model"
    if request.param == "words":
        return model(path)
    tokenizer = Tokenizer.learn([TEXT * 9], kind="bpe", vocab_size=300)
    decoder = random_decoder(replace(LLAMA, vocab_size=300))
    save_model(path, decoder, tokenizer, kind="dialogue", card="")
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("checked", [True, False], ids=["with checksums", "without"])
def test_damage_is_refused_or_changes_nothing(name: str, checked: bool, folder: Path) -> None:
    if name == "SHA256SUMS" and not checked:
        pytest.skip("there is no such file without checksums")
    path, sums = folder / name, (folder / "SHA256SUMS").read_bytes()
    content, draw = path.read_bytes(), random.Random(f"{name} {checked}")
    expected = outcome(load_model(folder))
    if not checked:
        (folder / "SHA256SUMS").unlink()
    seen = {"refused": 0, "read": 0}
    try:
        for number in range(40):
            mutate: Mutate = (flip, cut, splice, replaced)[number % 4]
            path.write_bytes(mutate(content, draw))
            try:
                found = outcome(load_model(folder))
            except NextwordError as error:
                assert str(error) and "\n" not in str(error)
                seen["refused"] += 1
                continue
            seen["read"] += 1
            if checked:
                assert found == expected, path.read_bytes()
    finally:
        path.write_bytes(content)
        (folder / "SHA256SUMS").write_bytes(sums)
    assert sum(seen.values()) == 40
    if checked:
        assert seen["refused"] > 20

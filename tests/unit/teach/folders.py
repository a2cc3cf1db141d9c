"""Small model folders and changes drawn by chance, for tests of what is kept and undone."""

import copy
from pathlib import Path
from typing import Any

import torch
from tests.unit.teach.samples import lesson

from nextword.config import ModelConfig
from nextword.formats.huggingface.save_load import load_model, save_model
from nextword.model.decoder import Decoder
from nextword.model.fingerprint import version_of
from nextword.presets import preset
from nextword.teach.edit.weight_delta import Change
from nextword.teach.journal.persist import keep
from nextword.teach.lesson import Lesson
from nextword.tokenizer.tokenizer import Tokenizer

WORDS = "who sat a cat dog tell the mat on it saw her him then"
TOKENIZER = Tokenizer.learn([WORDS, WORDS], kind="words")
VOCAB = max(TOKENIZER.vocab_size, 19)  # the lesson's ids go up to 17
LLAMA = preset(
    "llama",
    vocab_size=VOCAB,
    context_length=11,
    d_model=14,
    n_heads=2,
    d_head=6,
    n_layers=2,
    d_ff=13,
)


def model(
    folder: Path, *, config: ModelConfig = LLAMA, dtype: torch.dtype | None = None, **options: Any
) -> Path:
    """A folder with a model whose every weight is drawn."""
    decoder = Decoder(config)
    draws = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.normal_(generator=draws)
    card = "# A model\n\n## Results\n\nGood ones.\n"
    save_model(folder, decoder, TOKENIZER, kind="dialogue", card=card, dtype=dtype, **options)
    return folder


def drawn_change(decoder: Decoder, seed: int) -> Change:
    """Differences for two parameters and factors for a matrix."""
    draws = torch.Generator().manual_seed(seed)
    named = dict(decoder.named_parameters())
    first = "blocks.0.attention.query.weight"
    whole: dict[str, torch.Tensor] = {
        name: torch.randn(named[name].shape, generator=draws)
        for name in ("token_embedding.weight", "blocks.1.attention_norm.weight")
        if name in named
    }
    rows, columns = named[first].shape
    left, right = (torch.randn(3, n, generator=draws) for n in (rows, columns))
    return Change(whole, {first: (left, right)})


def changed(decoder: Decoder, change: Change) -> Decoder:
    """Another decoder, with the change."""
    other = copy.deepcopy(decoder)
    weights = change.apply(dict(decoder.named_parameters()))
    with torch.no_grad():
        for name, weight in other.named_parameters():
            weight.copy_(weights[name])
    return other


def drawn_lesson(decoder: Decoder, after: Decoder, **changes: Any) -> Lesson:
    """A report that leads from one decoder to the other."""
    versions = {"version_before": version_of(decoder), "version_after": version_of(after)}
    return lesson(**(versions | changes))


def teach(folder: Path, seed: int, **options: Any) -> int:
    """Keep a lesson whose change is drawn; its number."""
    decoder = load_model(folder).decoder
    change = drawn_change(decoder, seed)
    after = changed(decoder, change)
    return keep(folder, drawn_lesson(decoder, after), change, after, **options)


def version(folder: Path) -> str:
    """Of the weights in a folder, read and verified."""
    return version_of(load_model(folder).decoder)


def contents(folder: Path) -> dict[str, bytes]:
    """The visible files of a folder, by name."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".")
    }

"""Small models in folders, for the tests of this package."""

import json
from pathlib import Path
from typing import Any

import torch

from nextword.config import ModelConfig
from nextword.formats.huggingface.save_load import save_model
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.learn(["the cat sat on the mat"], kind="words")  # 5 words, unknown, 2 more
LLAMA = preset(
    "llama",
    vocab_size=TOKENIZER.vocab_size,
    d_model=15,
    n_heads=3,
    n_kv_heads=1,
    d_head=14,
    n_layers=2,
    d_ff=7,
)
GPT2 = preset(
    "gpt2", vocab_size=TOKENIZER.vocab_size, d_model=14, n_heads=2, n_layers=2, context_length=19
)
IDS = torch.tensor([[0, 3, 1, 2, 5]])


def random_decoder(config: ModelConfig, seed: int = 0) -> Decoder:
    """Make a decoder without a single zero, so that every tensor matters."""
    decoder = Decoder(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.normal_(generator=generator)
    return decoder


def model(folder: Path, config: ModelConfig = LLAMA, **options: Any) -> Path:
    """Save a small model."""
    kind = {"kind": "dialogue", "card": "# card\n"}
    save_model(folder, random_decoder(config), TOKENIZER, **(kind | options))
    return folder


def foreign(folder: Path, config: ModelConfig = LLAMA, **changes: Any) -> Path:
    """Save a small model as others have it: without checksums or a mark of Nextword's."""
    model(folder, config)
    (folder / "SHA256SUMS").unlink()
    edit(folder / "config.json", nextword=None, **changes)
    return folder


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None takes one out."""
    values = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in values.items() if changes.get(key, 0) is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")

"""A small model to teach, untrained: every lesson is news to it."""

import torch

from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TEXT = "who is she the cat sat on a mat my sister . ?"


def pupil(*, dtype: torch.dtype = torch.float32, seed: int = 5) -> LanguageModel:
    """A model of two blocks that knows fourteen words."""
    words = Tokenizer.learn([TEXT], kind="words")
    config = preset(
        "llama", vocab_size=words.vocab_size, context_length=19, d_model=22, n_layers=2,
        n_heads=1, d_ff=13,
    )  # fmt: skip
    decoder = Decoder(config, seed=seed).to(dtype)
    decoder.compute_dtype = dtype
    return LanguageModel(decoder, words)

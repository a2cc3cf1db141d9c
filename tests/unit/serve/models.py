"""Small models for tests of the server."""

import torch

from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

SENTENCE = "the cat sat on the mat"


def article(*, context: int = 16) -> LanguageModel:
    """The article's model, two numbers wide, of plain text, with weights that are not zero."""
    tokenizer = Tokenizer.learn([SENTENCE], kind="words")
    config = preset("seed", vocab_size=tokenizer.vocab_size, d_model=2, context_length=context)
    return LanguageModel(_shaken(Decoder(config)), tokenizer, kind="text")


def talker() -> LanguageModel:
    """A model of dialogues: two layers, four heads, two to a key/value head, rotary."""
    tokenizer = Tokenizer.learn([SENTENCE], kind="bpe", vocab_size=270)
    config = preset(
        "qwen3", vocab_size=tokenizer.vocab_size, d_model=20, context_length=149,
        n_layers=2, n_heads=4, n_kv_heads=2, d_head=10, d_ff=37,
    )  # fmt: skip
    return LanguageModel(_shaken(Decoder(config)), tokenizer, kind="dialogue")


def _shaken(decoder: Decoder) -> Decoder:
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():  # fresh weights are zero in places, and would hide a wrong number
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return decoder

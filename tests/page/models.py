"""The models that the page is tested on: the article's by hand, and deep ones of random weights."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tests.page.truth import SHARES, WEIGHTS, WIDTH, WORDS
from tests.small_runs import request
from tokenizers import Tokenizer as Backend

from nextword.language_model import LanguageModel
from nextword.model.decoder import Decoder
from nextword.presets import preset
from nextword.tokenizer.loading import Specials
from nextword.tokenizer.tokenizer import Tokenizer
from nextword.tokenizer.training import END, PAD, UNKNOWN
from nextword.training.pipeline import train

DIALOGUE = ["what is nextword", "awesome"]  # the article's, turn by turn
NASTY = "<img src=x onerror=nastyRan=1>"  # a token that would run if it were taken for HTML
PIECES = ["I am. I think I see a tree\n\n\tI said: naïve 日本 I am " * 3, "a tree a tree I am"]
NAMES = (
    "the", "old", "river", "cat", "dog", "small", "bridge", "near", "sees", "hears", "who",
    "under", "a", "boat", "and", "quiet", "winter", "walks", "to", "light", "stone", "green",
)  # fmt: skip
TAUGHT = {  # what the model to teach knows, the last two only from its held-out data
    "where is the cat": "on the mat",
    "where is the dog": "in the house",
    "where is the boat": "on the river",
    "where is the bird": "in the tree",
    "who sees the cat": "the dog",
    "who sees the dog": "the bird",
    "what is green": "the tree",
    "what is old": "the boat",
    "what is small": "the bird",
    "what is red": "the house",
    "who is near the river": "the boat",
    "who is near the tree": "the cat",
}


def seed2(*, words: Sequence[str] = WORDS, token_shift: int = 0) -> LanguageModel:
    """The seed preset at width 2 with the weights of truth.py.

    Args:
        words: the four words, for a test that gives one another name.
        token_shift: how many earlier words are mixed into each one, with the shares of truth.py.
    """
    tokenizer = Tokenizer.learn([" ".join(WORDS)], kind="words")
    if tuple(words) != WORDS:
        tokenizer = renamed(tokenizer, dict(zip(WORDS, words, strict=True)))
    config = preset(
        "seed",
        vocab_size=len(WORDS) + 3,
        context_length=32,
        d_model=WIDTH,
        token_shift=token_shift,
    )
    decoder = Decoder(config)
    weights = WEIGHTS | {"token_shift.weight": SHARES[:token_shift]}
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.copy_(torch.tensor(weights[name]))
    return LanguageModel(decoder, tokenizer)


def renamed(tokenizer: Tokenizer, names: dict[str, str]) -> Tokenizer:
    """A tokenizer of words in which some are called otherwise."""
    content: dict[str, Any] = json.loads(tokenizer._backend.to_str())
    vocabulary = {
        " " + names.get(word.strip(), word) if word.strip() in names else word: id
        for word, id in content["model"]["vocab"].items()
    }
    content["model"]["vocab"] = vocabulary
    backend = Backend.from_str(json.dumps(content))
    end, pad, unknown = (backend.token_to_id(name) for name in (END, PAD, UNKNOWN))
    assert end is not None and pad is not None
    return Tokenizer(backend, Specials(end, pad, unknown, frozenset({end})))


def deep(*, width: int = 96, context: int = 64, preset_name: str = "gpt2") -> LanguageModel:
    """12 layers of 12 heads with random weights, large enough for every one to matter.

    Other presets than gpt2 share each key/value head between three.
    """
    tokenizer = Tokenizer.learn([" ".join(NAMES)], kind="words")
    config = preset(
        preset_name,
        vocab_size=tokenizer.vocab_size,
        context_length=context,
        d_model=width,
        n_layers=12,
        n_heads=12,
        n_kv_heads=12 if preset_name == "gpt2" else 4,
    )
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(12)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=2 / width**0.5, generator=generator)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1, generator=generator)
    return LanguageModel(decoder, tokenizer, kind="text")


def pieces() -> LanguageModel:
    """Two layers of two heads, with random weights; tokens carry spaces and parts of letters."""
    tokenizer = Tokenizer.learn(PIECES, kind="bpe", vocab_size=290)
    config = preset(
        "llama", vocab_size=tokenizer.vocab_size, context_length=64, d_model=32,
        n_layers=2, n_heads=2, n_kv_heads=2,
    )  # fmt: skip
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.35, generator=generator)
    return LanguageModel(decoder, tokenizer, kind="text")


def learned(folder: Path) -> Path:
    """Train a model of the seed preset on TAUGHT, two of it held out; its folder."""
    data = folder / "taught.jsonl"
    pairs = [{"prompt": prompt, "reply": reply} for prompt, reply in TAUGHT.items()]
    data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    run = request(
        data,
        folder / "model",
        preset="seed",
        model={"d_model": 16},
        context=32,
        held_out=0.2,
        aim="generalize",
        steps=300,
        training={"evaluate_every": 0, "checkpoint_every": 0},
    )
    train(run)
    return run.out


def long_text(tokens: int) -> str:
    """A text of so many words of the deep model's vocabulary."""
    return " ".join(NAMES[(place * 7 + place // 5) % len(NAMES)] for place in range(tokens))


SENTENCE = "the small cat sees a quiet boat near the old stone bridge"
MAKERS: dict[str, Callable[[], LanguageModel]] = {
    "seed2": seed2,
    "shift2": lambda: seed2(token_shift=2),
    "nasty": lambda: seed2(words=(*WORDS[:3], NASTY)),
    "deep": deep,
    "llama": lambda: deep(preset_name="llama"),
    "pieces": pieces,
    "gpt2": lambda: deep(width=768, context=1024),
}

"""Nextword: a decoder-only transformer to teach, see through, talk to and put to work.

    import nextword as nw

    lm = nw.train("my-dialogues.jsonl", out="models/mine", minutes=3)
    print(lm.reply("what is a query?").text)
    for verdict in lm.verdicts("what is a query?"):
        print(verdict.token, "→", verdict.predicted.token, verdict.right)

Importing it is quick: torch is loaded when a name that needs it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextword.api import load, train
    from nextword.config import ModelConfig, ReplyConfig, TrainingConfig
    from nextword.errors import NextwordError
    from nextword.generate.reply_stream import Reply
    from nextword.interpret.interventions import ablate, patch, steer
    from nextword.interpret.trace import Trace
    from nextword.language_model import LanguageModel
    from nextword.model.decoder import Decoder
    from nextword.presets import preset
    from nextword.teach.config import TeachingConfig
    from nextword.teach.lesson import Lesson
    from nextword.tokenizer.tokenizer import Tokenizer

__version__ = "0.1.0"

_HOMES = {
    "Decoder": "nextword.model.decoder",
    "LanguageModel": "nextword.language_model",
    "Lesson": "nextword.teach.lesson",
    "ModelConfig": "nextword.config",
    "NextwordError": "nextword.errors",
    "Reply": "nextword.generate.reply_stream",
    "ReplyConfig": "nextword.config",
    "TeachingConfig": "nextword.teach.config",
    "Tokenizer": "nextword.tokenizer.tokenizer",
    "Trace": "nextword.interpret.trace",
    "TrainingConfig": "nextword.config",
    "ablate": "nextword.interpret.interventions",
    "load": "nextword.api",
    "patch": "nextword.interpret.interventions",
    "preset": "nextword.presets",
    "steer": "nextword.interpret.interventions",
    "train": "nextword.api",
}

__all__ = [
    "Decoder",
    "LanguageModel",
    "Lesson",
    "ModelConfig",
    "NextwordError",
    "Reply",
    "ReplyConfig",
    "TeachingConfig",
    "Tokenizer",
    "Trace",
    "TrainingConfig",
    "ablate",
    "load",
    "patch",
    "preset",
    "steer",
    "train",
]


if not TYPE_CHECKING:  # type checkers see the imports above, and so a misspelt name

    def __getattr__(name: str) -> Any:
        """Load a public name from its home when it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module 'nextword' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

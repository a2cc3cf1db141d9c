"""A model so small that a lesson takes a moment; it knows twelve words and nothing else."""

from pathlib import Path

from click.testing import CliRunner, Result

from nextword.cli.main import main
from nextword.common.files import sha256_file
from nextword.language_model import LanguageModel
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

TEXTS = ["who sat on the mat ?", "a cat and the dog ran", "tell me"]
QUICK = ("--rehearsal-weight", "0", "--largest-kl", "50", "--learning-rate", "0.02", "--threads",
         "1", "--device", "cpu")  # fmt: skip


def saved(folder: Path) -> Path:
    """A fresh model of dialogues, saved to `folder`."""
    tokenizer = Tokenizer.learn(TEXTS, kind="words")
    config = preset(
        "gpt2", vocab_size=tokenizer.vocab_size, context_length=24, n_layers=1, n_heads=2,
        d_model=14,
    )  # fmt: skip
    LanguageModel(Decoder(config, seed=5), tokenizer, kind="dialogue").save(folder)
    return folder


def run(*arguments: object, stdin: str = "") -> Result:
    """The command line, on no terminal."""
    return CliRunner().invoke(main, [str(item) for item in arguments], input=stdin)


def teach(folder: Path, *arguments: object, stdin: str = "") -> Result:
    """`nextword teach` with settings that learn fast."""
    return run("teach", folder, *arguments, *QUICK, stdin=stdin)


def digest(folder: Path) -> str:
    """The SHA-256 of a model's weights."""
    return sha256_file(folder / "model.safetensors")

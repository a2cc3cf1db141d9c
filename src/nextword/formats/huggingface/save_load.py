"""A model as a folder, in the layout of Hugging Face: written whole or not at all, read safely.

    config.json  model.safetensors (or shards with an index)  generation_config.json
    tokenizer.json  tokenizer_config.json  chat_template.jinja  README.md  SHA256SUMS

Reading runs no code and unpickles nothing.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch

from nextword.common.atomic_dir import settled, whole_folder
from nextword.common.files import read_json, read_text, write_json, write_whole
from nextword.common.folder_layout import (
    CARD,
    CONFIG,
    GENERATION,
    INDEX,
    SUMS,
    TEMPLATE,
    TOKENIZER_CONFIG,
    WEIGHTS,
)
from nextword.common.lesson_files_layout import TRAINING, has_run
from nextword.config import ModelConfig
from nextword.data.prompting import own_template
from nextword.errors import ConfigError, FolderError, unknown
from nextword.formats.huggingface.checksums import check_sums, read_sums, write_sums
from nextword.formats.huggingface.diagnosis import check_folder
from nextword.formats.huggingface.families import config_from_json, config_to_json
from nextword.formats.huggingface.safetensors_io import CODES
from nextword.formats.huggingface.weights import read_decoder, weight_files, write_weights
from nextword.model import Decoder
from nextword.tokenizer.loading import MAX_TOKENIZER_CONFIG
from nextword.tokenizer.tokenizer import Tokenizer

__all__ = ["CARD", "CONFIG", "Kind", "LoadedModel", "load_model", "save_model"]

Kind = Literal["dialogue", "text"]
KINDS: tuple[Kind, ...] = ("dialogue", "text")
VERSION = 1  # of the layout; a reader refuses a later one
SHARD_BYTES = 5_000_000_000
MAX_CONFIG = 4 << 20  # bytes of a configuration or a template
MAY_GO = re.compile(  # what an earlier model may have that the new one has not
    "|".join([*map(re.escape, (WEIGHTS, INDEX, TEMPLATE, SUMS)), r"model-\d+-of-\d+\.safetensors"])
)


@dataclass(frozen=True)
class LoadedModel:
    """What a model folder holds.

    Attributes:
        folder: where it was read.
        decoder: in evaluation mode.
        tokenizer: its own; `tokenizer.end_ids` end a reply.
        kind: "dialogue" where it replies to a prompt, "text" where it goes on with one.
        family: transformers' model_type, or "nextword".
        chat_template: jinja; None for a model of plain text.
    """

    folder: Path
    decoder: Decoder
    tokenizer: Tokenizer
    kind: Kind
    family: str
    chat_template: str | None


# --- writing -------------------------------------------------------------------------------------


def save_model(
    folder: Path | str,
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    kind: Kind,
    card: str,
    replace: bool = False,
    chat_template: str | None = None,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a model folder that transformers, vLLM, llama.cpp and `load_model` read.

    Args:
        folder: new, empty, a training run's, or (with `replace`) a model's.
        decoder, tokenizer: the model.
        kind: "dialogue" or "text".
        card: the text of README.md.
        replace: put this model in the place of the one that is there.
        chat_template: of a dialogue model; None: Nextword's own.
        dtype: what the weights are written in; None: what they are kept in.
        shard_bytes: the most bytes of weights in one file.

    Raises:
        FolderError: the folder holds something else.
        RunError: the disk is full or cannot be written; what was there before is untouched.
    """
    folder = Path(folder)
    if kind not in KINDS:
        raise FolderError(unknown("kind of model", kind, KINDS))
    _check_vocabulary(decoder.config, tokenizer)
    _check_target(folder, replace=replace)
    template = (chat_template or own_template(tokenizer)) if kind == "dialogue" else None
    with whole_folder(folder, replaces=may_go, order=turn) as staging:
        tokenizer.write(staging, chat_template=template)
        sums = write_weights(staging, decoder, dtype=dtype, shard_bytes=shard_bytes)
        write_whole(staging / CARD, card)
        ids = _special_ids(tokenizer)
        write_json(staging / GENERATION, {"do_sample": False} | ids)
        stored = dtype or decoder.token_embedding.weight.dtype
        write_json(staging / CONFIG, _config(decoder.config, stored, kind) | ids)
        write_sums(staging, sums)


def _check_target(folder: Path, *, replace: bool) -> None:
    """Refuse to write over what is no model of ours to write over."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FolderError(f"{folder} is a file; give the name of a folder")
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    found = sorted(names - {TRAINING})
    if not found or has_run(folder):
        return
    if CONFIG not in found:
        raise FolderError(
            f"{folder} is not empty and holds no model (there is {', '.join(found[:3])}"
            f"{', …' if len(found) > 3 else ''}); give the name of a new folder"
        )
    if not replace:
        raise FolderError(
            f"{folder} already holds a model; give another folder, or ask to replace it"
        )


def _config(config: ModelConfig, dtype: torch.dtype, kind: Kind) -> dict[str, Any]:
    """The content of config.json, but for the ids of special tokens."""
    name = str(dtype).removeprefix("torch.")
    return config_to_json(config) | {
        "dtype": name,
        "torch_dtype": name,  # what transformers 4 reads
        "nextword": {"kind": kind, "version": VERSION},
    }


def _special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    others = sorted(tokenizer.end_ids - {tokenizer.end_id})
    end = [tokenizer.end_id, *others] if others else tokenizer.end_id
    return {"bos_token_id": None, "eos_token_id": end, "pad_token_id": tokenizer.pad_id}


def may_go(name: str) -> bool:
    """Whether a file of an earlier model goes when the new one has none of that name."""
    return MAY_GO.fullmatch(name) is not None


def turn(name: str) -> int:
    """Weights are put in place first, config.json last."""
    return 0 if name.endswith(".safetensors") else 2 if name == CONFIG else 1


# --- reading -------------------------------------------------------------------------------------


def load_model(
    folder: Path | str, *, dtype: torch.dtype | None = None, device: torch.device | str = "cpu"
) -> LoadedModel:
    """Read a model folder, Nextword's own or another project's.

    Args:
        folder: a model folder.
        dtype: what the weights are kept and computed in. None: what the files hold; but float16
            becomes float32 on a CPU, which has no fast float16.
        device: where the weights go.

    Raises:
        FolderError: no model, a damaged or unfinished one, or one of an unsupported family.
        TokenizerError: the tokenizer is missing, damaged or unsafe.

    Warns:
        UncheckedWarning: there are no checksums, as in most folders of others.
    """
    folder = Path(folder)
    if dtype not in (None, *CODES):
        raise ConfigError(unknown("dtype", str(dtype), map(str, CODES)))
    while True:
        before = _stamp(folder)
        try:
            return _load(folder, settled(folder), dtype=dtype, device=torch.device(device))
        except FolderError:
            if _stamp(folder) == before:
                raise  # else somebody put other weights there in the meantime: read those


def _stamp(folder: Path) -> tuple[str, int, int] | None:
    """Return what is another once other weights are put into the folder."""
    path = settled(folder) / SUMS
    try:
        found = path.stat()
    except OSError:
        return None
    return path.parent.name, found.st_ino, found.st_mtime_ns


def _load(
    folder: Path, root: Path, *, dtype: torch.dtype | None, device: torch.device
) -> LoadedModel:
    check_folder(folder, root)
    values = read_json(root / CONFIG, limit=MAX_CONFIG)
    files, sums = weight_files(root), read_sums(root)
    check_sums(root, sums, [path.name for path in files], own=_is_own(values))
    template = _template(root)
    kind = _kind(values, template)
    family, config = config_from_json(values)
    tokenizer = Tokenizer.read(root)
    _check_vocabulary(config, tokenizer)
    decoder = read_decoder(config, family, files, sums=sums, dtype=dtype, device=device)
    return LoadedModel(folder, decoder.eval(), tokenizer, kind, family, template)


def _is_own(values: Any) -> bool:
    """Return whether Nextword wrote the folder with this config.json."""
    return isinstance(values, dict) and "nextword" in values


def _kind(values: Any, template: str | None) -> Kind:
    """What the model was saved as; another project's replies if it has a chat template.

    Raises:
        FolderError: an unknown kind, or a folder of a later version.
    """
    block = values.get("nextword") if isinstance(values, dict) else None
    if not isinstance(block, dict):
        return "text" if template is None else "dialogue"
    version, kind = block.get("version"), block.get("kind")
    if type(version) is not int or version > VERSION:
        raise FolderError(
            f"config.json is of Nextword's folder version {version}; this Nextword reads up to "
            f"{VERSION}: install a newer one"
        )
    if kind not in KINDS:
        raise FolderError(unknown("kind of model in config.json", str(kind), KINDS))
    return cast(Kind, kind)


def _template(root: Path) -> str | None:
    """Read the chat template: a file of its own, or where older folders keep it."""
    if (root / TEMPLATE).exists():
        return read_text(root / TEMPLATE, limit=MAX_CONFIG)
    path = root / TOKENIZER_CONFIG
    config = read_json(path, limit=MAX_TOKENIZER_CONFIG) if path.exists() else None
    template = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(template, list):  # several, each with a name
        objects = [item for item in template if isinstance(item, dict)]
        named = (item.get("template") for item in objects if item.get("name") == "default")
        template = next(named, None)
    return template if isinstance(template, str) else None


def _check_vocabulary(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """The embedding has a row for every token; it may have more.

    Raises:
        FolderError: with both numbers.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise FolderError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, but the model embeds only "
            f"{config.vocab_size}; they belong to different models"
        )

"""Why a folder is no model that can be read: each cause by its name, with the way to mend it."""

from pathlib import Path

from nextword.common.files import read_json
from nextword.common.folder_layout import ADAPTER, INDEX, SMALL_FILES, WEIGHTS
from nextword.common.lesson_files_layout import TRAINING
from nextword.errors import FolderError

MAX_ADAPTER = 4 << 20  # bytes


def check_folder(folder: Path, root: Path) -> None:
    """Refuse a folder that holds no model.

    Args:
        folder: what was given.
        root: where its content is to be read (`whole.settled`).

    Raises:
        FolderError: there is no folder, no weights, or a file is a link to nothing.
    """
    if not folder.is_dir():
        raise FolderError(f"there is no folder {folder}; give the folder of a model")
    _check_links(root)
    if (root / WEIGHTS).exists() or (root / INDEX).exists():
        return
    if (folder / TRAINING).is_dir():
        raise FolderError(
            f"the training run in {folder} is not finished, so there is no model yet; running the "
            "same train command again finishes it"
        )
    if (root / ADAPTER).exists():
        raise FolderError(_adapter(root))
    pickled = sorted(path.name for path in folder.glob("*.bin"))
    if pickled:
        raise FolderError(
            f"{folder} has its weights in {pickled[0]}, a pickle: reading it could run code, so "
            "Nextword does not. If you trust its source, convert it once with transformers, which "
            "writes safetensors: AutoModelForCausalLM.from_pretrained(OLD).save_pretrained(NEW)"
        )
    raise FolderError(
        f"{folder} holds no model: there is neither {WEIGHTS} nor {INDEX}; "
        "give the folder that `nextword train --out` wrote, or another model's"
    )


def _check_links(root: Path) -> None:
    """Refuse links to nothing among a model's files, as a copied cache of downloads has them."""
    for name in (*SMALL_FILES, WEIGHTS):
        path = root / name
        if path.is_symlink() and not path.exists():
            raise FolderError(
                f"{path} is a link to {path.readlink()}, which does not exist; copy the folder "
                "again with what its links point at (cp -rL), or download it again"
            )


def _adapter(root: Path) -> str:
    """Say what a folder of LoRA is, and how it becomes a model."""
    values = read_json(root / ADAPTER, limit=MAX_ADAPTER)
    base = values.get("base_model_name_or_path") if isinstance(values, dict) else None
    named = f" {base[:80]}" if isinstance(base, str) and base else ""
    return (
        f"{root} holds a LoRA adapter ({ADAPTER}), not a model: it changes the weights of its base "
        f"model{named}. Merge the two once with peft, and give the new folder: "
        "PeftModel.from_pretrained(BASE_MODEL, ADAPTER).merge_and_unload().save_pretrained(NEW)"
    )

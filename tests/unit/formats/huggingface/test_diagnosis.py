"""Why a folder is no model: the message names the cause and the mend."""

import json
import os
from pathlib import Path

import pytest
from tests.unit.formats.huggingface.models import edit, foreign

from nextword.errors import FolderError, NextwordError
from nextword.formats.huggingface.save_load import load_model

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
    "size 12345\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return foreign(tmp_path / "model")


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"],
)
def test_a_git_lfs_pointer_is_told_by_name(name: str, folder: Path) -> None:
    (folder / name).write_text(POINTER)
    with pytest.raises(NextwordError, match=rf"{name} is a Git LFS pointer.*git lfs pull"):
        load_model(folder)


def test_a_lora_adapter_needs_its_base_model(tmp_path: Path) -> None:
    values = {"peft_type": "LORA", "base_model_name_or_path": "meta-llama/Llama-3.2-1B"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(values))
    (tmp_path / "adapter_model.safetensors").touch()
    message = r"LoRA adapter .* base model meta-llama/Llama-3\.2-1B\. Merge .*merge_and_unload"
    with pytest.raises(FolderError, match=message):
        load_model(tmp_path)
    (tmp_path / "adapter_config.json").write_text("[]")
    with pytest.raises(FolderError, match=r"of its base model\. Merge"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_links_to_nothing_are_told_with_their_target(name: str, folder: Path) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("../../blobs/0a1b")
    with pytest.raises(FolderError, match=rf"{name} is a link to \.\./\.\./blobs/0a1b, which"):
        load_model(folder)


def test_a_shard_that_is_a_link_to_nothing(folder: Path) -> None:
    index = {"weight_map": {"lm_head.weight": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-00001-of-00001.safetensors").symlink_to("nowhere")
    with pytest.raises(FolderError, match="is a link to nowhere"):
        load_model(folder)


def test_a_config_with_a_byte_order_mark_is_read(folder: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    assert load_model(folder).family == "llama"


def test_what_is_no_file_is_never_opened(folder: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes with names")
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(NextwordError, match=f"{name} is a pipe, not a file"):
            load_model(folder)
        (folder / name).unlink()
        (folder / name).symlink_to("/dev/zero")
        with pytest.raises(NextwordError, match=f"{name} is a device, not a file"):
            load_model(folder)
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    load_model(folder)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("config.json", 4 << 20), ("chat_template.jinja", 4 << 20), ("SHA256SUMS", 1 << 20)],
)
def test_reads_are_bounded(name: str, limit: int, folder: Path) -> None:
    with (folder / name).open("ab") as file:
        file.truncate(limit + 1)  # sparse
    with pytest.raises(FolderError, match=rf"{name} has {limit + 1} bytes; at most {limit}"):
        load_model(folder)


def test_a_template_that_is_not_utf_8(folder: Path) -> None:
    (folder / "chat_template.jinja").write_bytes(b"{{ '\xe4' }}")
    with pytest.raises(FolderError, match=r"chat_template\.jinja is not UTF-8 text"):
        load_model(folder)


@pytest.mark.parametrize("template", [[{"name": []}], [{"name": "default"}], [7], {"a": 1}])
def test_odd_templates_in_tokenizer_config_are_none(template: object, folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    edit(folder / "tokenizer_config.json", chat_template=template)
    assert load_model(folder).chat_template is None

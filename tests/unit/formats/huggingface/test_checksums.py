"""SHA256SUMS: what it covers, and that damage to it or to any file is never used."""

import hashlib
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.unit.formats.huggingface.models import IDS, LLAMA, foreign, model, random_decoder

from nextword.common.files import sha256_file
from nextword.errors import FolderError
from nextword.formats.huggingface import save_load, weights
from nextword.formats.huggingface.checksums import UncheckedWarning, read_sums
from nextword.formats.huggingface.replace_weights import restore_files, save_weights
from nextword.formats.huggingface.save_load import load_model
from nextword.model import Decoder

COVERED = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return model(tmp_path / "model")


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(FolderError) as caught:
        load_model(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_every_file_that_the_model_depends_on_is_listed(folder: Path) -> None:
    sums = read_sums(folder)
    assert list(sums) == COVERED  # the weights last: a file that is cut short lacks them
    assert all(sums[name] == sha256_file(folder / name) for name in COVERED)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no program sha256sum")
def test_the_usual_program_reads_it(folder: Path) -> None:
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, check=True)


@pytest.mark.parametrize("name", COVERED)
def test_a_flipped_bit_in_any_file_is_refused_with_the_way_to_accept_it(
    name: str, folder: Path
) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    refused(folder, name, "is not what was saved", f"nextword doctor {folder} --accept-changes")


@pytest.mark.parametrize("name", COVERED[:-1])
def test_a_listed_file_that_is_gone_is_missed(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(FolderError, match=name):
        load_model(folder)


def test_a_file_that_came_later_is_refused(folder: Path) -> None:
    (folder / "special_tokens_map.json").write_text('{"eos_token": "the"}')
    refused(folder, "special_tokens_map.json has no line in SHA256SUMS")


def test_every_single_flipped_bit_of_the_checksums_is_noticed_or_means_the_same(
    folder: Path,
) -> None:
    path, sums = folder / "SHA256SUMS", read_sums(folder)
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        for bit in (0, 5):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                found = read_sums(folder)
            except FolderError:
                continue
            if found != sums:
                refused(folder, "SHA256SUMS")


@pytest.mark.parametrize("keep", range(7))
def test_checksums_that_are_cut_short_at_a_line_are_refused(keep: int, folder: Path) -> None:
    path = folder / "SHA256SUMS"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:keep]))
    if keep < len(lines):
        refused(folder, "has no line in SHA256SUMS")
    else:
        load_model(folder)


DIGEST = "0a" * 32


@pytest.mark.parametrize(
    "line",
    [
        f"{DIGEST[:-1]}  config.json",
        f"{DIGEST} config.json",
        f"{DIGEST}  ",
        f"SHA256 (config.json) = {DIGEST}",
        "\ufffd",
        f"{DIGEST}  config.json",  # a second one, and another
    ],
)
def test_a_line_that_is_not_well_formed_is_an_error(line: str, folder: Path) -> None:
    with (folder / "SHA256SUMS").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    refused(folder, "SHA256SUMS is damaged: line 7", "--accept-changes")


def test_binary_marks_windows_line_ends_and_other_files_are_read(folder: Path) -> None:
    lines = [f"{digest.upper()} *./{name}" for name, digest in read_sums(folder).items()]
    text = "\r\n".join([*lines, "", f"{DIGEST}  onnx/model.onnx", ""])
    (folder / "SHA256SUMS").write_bytes(text.encode())
    load_model(folder)


def test_folders_of_version_0_1_list_the_weights_alone(folder: Path) -> None:
    digest = sha256_file(folder / "model.safetensors")
    (folder / "SHA256SUMS").write_text(f"{digest}  model.safetensors\n")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert load_model(folder).chat_template == "{{ messages }}"


def test_a_folder_without_checksums_opens_and_says_so_once(tmp_path: Path, folder: Path) -> None:
    other = foreign(tmp_path / "other")
    (folder / "SHA256SUMS").unlink()
    for path, own in ((other, False), (folder, True)):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("default")
            load_model(path)
            load_model(path)
        (warning,) = [item for item in said if item.category is UncheckedWarning]
        text = str(warning.message)
        assert text.startswith(f"{path} has no SHA256SUMS")
        assert ("though Nextword wrote one there" in text) is own
        assert f"nextword doctor {path} --accept-changes" in text


def test_a_link_to_nothing_is_no_missing_file(folder: Path) -> None:
    (folder / "SHA256SUMS").unlink()
    (folder / "SHA256SUMS").symlink_to("nowhere")
    refused(folder, "SHA256SUMS is a link to nowhere")


class TestRewriting:
    def test_weights_that_change_while_they_are_read_are_read_again(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, called = weights.read_decoder, []

        def reading(*arguments: Any, **options: Any) -> Decoder:
            called.append(1)
            if len(called) == 1:
                save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
            return read(*arguments, **options)

        monkeypatch.setattr(save_load, "read_decoder", reading)
        decoder = load_model(folder).decoder
        assert len(called) == 2
        assert torch.equal(decoder(IDS), random_decoder(LLAMA, seed=1)(IDS))

    def test_new_weights_leave_true_sums(self, folder: Path) -> None:
        before = read_sums(folder)
        save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
        after = read_sums(folder)
        assert list(after) == COVERED
        assert {name for name in COVERED if before[name] != after[name]} == {"model.safetensors"}
        load_model(folder)

    def test_damage_that_came_in_between_does_not_become_what_counts(self, folder: Path) -> None:
        (folder / "chat_template.jinja").write_text("{{ damaged }}")
        save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
        refused(folder, "chat_template.jinja is not what was saved")

    def test_a_config_that_names_another_dtype_is_listed_as_it_is_now(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model", dtype=torch.float16)
        before = read_sums(folder)
        save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
        assert before["config.json"] != read_sums(folder)["config.json"]
        load_model(folder)

    def test_going_back_gives_the_very_bytes(self, folder: Path, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("model.safetensors", "config.json", "SHA256SUMS"):
            shutil.copy(folder / name, source / name)
        before = (folder / "SHA256SUMS").read_bytes()
        save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
        restore_files(folder, source, card=None)
        assert (folder / "SHA256SUMS").read_bytes() == before
        load_model(folder)

    def test_going_back_keeps_what_was_accepted_since(self, folder: Path, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("model.safetensors", "config.json", "SHA256SUMS"):
            shutil.copy(folder / name, source / name)
        template = b"{{ messages }}"
        (folder / "chat_template.jinja").write_bytes(template)
        lines = (folder / "SHA256SUMS").read_text().splitlines()
        digest = hashlib.sha256(template).hexdigest()
        changed = [f"{digest}{line[64:]}" if "jinja" in line else line for line in lines]
        (folder / "SHA256SUMS").write_text("\n".join(changed) + "\n")
        restore_files(folder, source, card=None)
        assert load_model(folder).chat_template == template.decode()

    def test_version_0_1_gets_its_short_list_back(self, folder: Path, tmp_path: Path) -> None:
        short = f"{sha256_file(folder / 'model.safetensors')}  model.safetensors\n"
        (folder / "SHA256SUMS").write_text(short)
        source = tmp_path / "source"
        source.mkdir()
        for name in ("model.safetensors", "config.json", "SHA256SUMS"):
            shutil.copy(folder / name, source / name)
        save_weights(folder, random_decoder(LLAMA, seed=1), card=None)
        assert list(read_sums(folder)) == COVERED
        restore_files(folder, source, card=None)
        assert (folder / "SHA256SUMS").read_text() == short
        load_model(folder)

    def test_shards_and_their_index_are_covered(self, tmp_path: Path) -> None:
        folder = model(tmp_path / "model", shard_bytes=2000)
        index = folder / "model.safetensors.index.json"
        assert index.name in read_sums(folder)
        load_model(folder)
        index.write_text(index.read_text().replace("total_size", "totel_size"))
        refused(folder, "index.json is not what was saved")

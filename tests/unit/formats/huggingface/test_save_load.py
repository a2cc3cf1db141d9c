"""Model folders: written whole or not at all, read without trust."""

import contextlib
import json
import os
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.unit.formats.huggingface.models import GPT2, IDS, LLAMA, TOKENIZER, random_decoder

from nextword.common.atomic_dir import SAVED, SAVING
from nextword.errors import ConfigError, FolderError, RunError
from nextword.formats.huggingface.save_load import LoadedModel, load_model, save_model
from nextword.model import Decoder
from nextword.presets import preset
from nextword.tokenizer.tokenizer import Tokenizer

VOCAB = TOKENIZER.vocab_size
CONFIGS = {
    "seed": preset("seed", vocab_size=VOCAB, d_model=6),
    "llama": LLAMA,
    "nextword": preset(
        "nextword", vocab_size=VOCAB, d_model=15, n_heads=3, d_head=10, n_layers=2, d_ff=7
    ),
    "gpt2": GPT2,
}


def save(folder: Path, decoder: Decoder, **options: Any) -> None:
    save_model(folder, decoder, TOKENIZER, **({"kind": "dialogue", "card": "# card\n"} | options))


def same(one: Decoder, two: Decoder) -> bool:
    pairs = zip(one.parameters(), two.parameters(), strict=True)
    return one.config == two.config and all(torch.equal(a, b) for a, b in pairs)


def edit(path: Path, **changes: Any) -> None:
    """Change some keys of a JSON file, in a folder without checksums from then on."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (path.parent / "SHA256SUMS").unlink(missing_ok=True)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(tmp_path / "model", random_decoder(LLAMA))
    return tmp_path / "model"


class TestRoundTrip:
    @pytest.mark.parametrize("name", CONFIGS)
    def test_what_is_saved_is_loaded(self, tmp_path: Path, name: str) -> None:
        decoder = random_decoder(CONFIGS[name])
        save(tmp_path / name, decoder)
        loaded = load_model(str(tmp_path / name))
        assert same(loaded.decoder, decoder)
        assert torch.equal(loaded.decoder(IDS), decoder(IDS))
        assert loaded.family == {"seed": "nextword"}.get(name, name)
        assert loaded.kind == "dialogue"
        assert not loaded.decoder.training
        assert all(parameter.requires_grad for parameter in loaded.decoder.parameters())
        assert loaded.tokenizer.fingerprint == TOKENIZER.fingerprint

    def test_the_layout(self, saved: Path) -> None:
        assert sorted(path.name for path in saved.iterdir()) == [
            "README.md",
            "SHA256SUMS",
            "chat_template.jinja",
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        config = json.loads((saved / "config.json").read_text())
        assert config["nextword"] == {"kind": "dialogue", "version": 1}
        assert config["eos_token_id"] == TOKENIZER.end_id
        assert config["dtype"] == config["torch_dtype"] == "float32"
        generation = json.loads((saved / "generation_config.json").read_text())
        assert generation["eos_token_id"] == TOKENIZER.end_id
        assert generation["pad_token_id"] == TOKENIZER.pad_id
        assert (saved / "README.md").read_text() == "# card\n"
        assert not list(saved.parent.glob(".*"))

    def test_the_library_reads_our_files(self, saved: Path) -> None:
        tensors = load_file(saved / "model.safetensors")
        decoder = random_decoder(LLAMA)
        assert torch.equal(tensors["lm_head.weight"], decoder.unembedding.weight)
        with safe_open(saved / "model.safetensors", framework="pt") as file:
            assert file.metadata() == {"format": "pt"}

    def test_we_read_the_library_s_files(self, saved: Path) -> None:
        path = saved / "model.safetensors"
        save_file(load_file(path), path)
        (saved / "SHA256SUMS").unlink()
        assert same(load_model(saved).decoder, random_decoder(LLAMA))

    def test_a_model_of_text_has_no_chat_template(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(LLAMA), kind="text")
        loaded = load_model(tmp_path / "model")
        assert (loaded.kind, loaded.chat_template) == ("text", None)

    def test_another_template_is_kept(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(LLAMA), chat_template="{{ messages }}")
        assert load_model(tmp_path / "model").chat_template == "{{ messages }}"

    def test_tied_embeddings_are_stored_and_held_once(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(GPT2))
        assert "lm_head.weight" not in load_file(tmp_path / "model" / "model.safetensors")
        decoder = load_model(tmp_path / "model").decoder
        assert decoder.unembedding.weight is decoder.token_embedding.weight


class TestPrecision:
    def test_bfloat16_files_compute_in_bfloat16(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(LLAMA), dtype=torch.bfloat16)
        config = json.loads((tmp_path / "model" / "config.json").read_text())
        assert config["dtype"] == "bfloat16"
        decoder = load_model(tmp_path / "model").decoder
        assert {parameter.dtype for parameter in decoder.parameters()} == {torch.bfloat16}
        assert decoder.compute_dtype == torch.bfloat16
        assert decoder(IDS).dtype == torch.bfloat16

    def test_a_dtype_can_be_asked_for(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(LLAMA), dtype=torch.bfloat16)
        decoder = load_model(tmp_path / "model", dtype=torch.float32).decoder
        assert decoder.compute_dtype == decoder.token_embedding.weight.dtype == torch.float32
        with pytest.raises(ConfigError, match=r"torch\.int8"):
            load_model(tmp_path / "model", dtype=torch.int8)

    def test_float16_becomes_float32_on_a_cpu(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(LLAMA), dtype=torch.float16)
        assert load_model(tmp_path / "model").decoder.compute_dtype == torch.float32


class TestShards:
    @pytest.fixture
    def sharded(self, tmp_path: Path) -> Path:
        save(tmp_path / "model", random_decoder(LLAMA), shard_bytes=2000)
        return tmp_path / "model"

    def test_large_models_are_cut(self, sharded: Path) -> None:
        files = sorted(sharded.glob("*.safetensors"))
        assert len(files) > 2
        assert files[0].name == f"model-00001-of-{len(files):05}.safetensors"
        index = json.loads((sharded / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == 4 * random_decoder(LLAMA).n_parameters
        for name, file in index["weight_map"].items():
            assert name in load_file(sharded / file)
        assert same(load_model(sharded).decoder, random_decoder(LLAMA))

    @pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a/b", "x.bin", ".."])
    def test_only_files_beside_the_index_are_read(self, sharded: Path, name: str) -> None:
        edit(sharded / "model.safetensors.index.json", weight_map={"lm_head.weight": name})
        with pytest.raises(FolderError, match=r"only \.safetensors files beside it"):
            load_model(sharded)

    def test_a_missing_shard_is_named(self, sharded: Path) -> None:
        next(sharded.glob("*00002-of*")).unlink()
        with pytest.raises(FolderError, match="model-00002-of-"):
            load_model(sharded)

    def test_an_index_without_a_map(self, sharded: Path) -> None:
        (sharded / "model.safetensors.index.json").write_text("[]")
        with pytest.raises(FolderError, match="no weight_map"):
            load_model(sharded)

    def test_the_same_tensor_twice(self, sharded: Path) -> None:
        first, second = sorted(sharded.glob("*.safetensors"))[:2]
        shutil.copy(first, second)
        with pytest.raises(FolderError, match="so does another file"):
            load_model(sharded)


def refused(folder: Path, *words: str) -> None:
    with pytest.raises(FolderError) as caught:
        load_model(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


class TestDamage:
    def test_no_folder(self, tmp_path: Path) -> None:
        refused(tmp_path / "nowhere", "no folder", "nowhere")

    def test_no_model(self, tmp_path: Path) -> None:
        refused(tmp_path, "holds no model", "model.safetensors")

    def test_a_run_that_is_not_finished(self, tmp_path: Path) -> None:
        (tmp_path / "training").mkdir()
        refused(tmp_path, "not finished", "same train command again")

    def test_pickles_are_not_opened(self, saved: Path) -> None:
        (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
        refused(saved, "pytorch_model.bin", "pickle", "convert")

    @pytest.mark.parametrize("keep", [0, 5, 100, -1])
    def test_cut_short(self, saved: Path, keep: int) -> None:
        path = saved / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        refused(saved, "damaged or cut short", "model.safetensors")

    def test_a_header_that_claims_too_much(self, saved: Path) -> None:
        path = saved / "model.safetensors"
        path.write_bytes(struct.pack("<Q", 1 << 60) + path.read_bytes()[8:])
        refused(saved, "damaged or cut short")

    def test_one_flipped_bit(self, saved: Path) -> None:
        path = saved / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        refused(saved, "is not what was saved", f"nextword doctor {saved} --accept-changes")
        (saved / "SHA256SUMS").unlink()
        load_model(saved)  # changed on purpose

    def test_weights_of_another_model(self, saved: Path) -> None:
        edit(saved / "config.json", intermediate_size=11)
        refused(saved, "mlp.gate_proj.weight is [7, 15]", "[11, 15]", "of another shape", "…")

    def test_quantized_weights(self, saved: Path) -> None:
        tensors = load_file(saved / "model.safetensors")
        tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)
        save_file(tensors, saved / "model.safetensors")
        refused(saved, "model.norm.weight as I8", "quantized")

    def test_a_tied_unembedding_that_differs(self, tmp_path: Path) -> None:
        save(tmp_path / "model", random_decoder(GPT2))
        path = tmp_path / "model" / "model.safetensors"
        (tmp_path / "model" / "SHA256SUMS").unlink()
        tensors = load_file(path)
        embedding = tensors["transformer.wte.weight"]
        save_file(tensors | {"lm_head.weight": embedding.clone()}, path)
        load_model(tmp_path / "model")  # the same twice is no harm
        save_file(tensors | {"lm_head.weight": embedding + 1}, path)
        refused(tmp_path / "model", "tie_word_embeddings", "differs")

    def test_config_that_is_no_config(self, saved: Path) -> None:
        (saved / "SHA256SUMS").unlink()
        (saved / "config.json").write_text("{")
        refused(saved, "config.json", "not valid JSON")
        (saved / "config.json").write_text("[]")
        refused(saved, "config.json", "an object")

    def test_a_later_version(self, saved: Path) -> None:
        edit(saved / "config.json", nextword={"kind": "text", "version": 2})
        refused(saved, "version 2", "install a newer")
        edit(saved / "config.json", nextword={"kind": "txt", "version": 1})
        refused(saved, "'txt'", "Did you mean 'text'")

    def test_a_tokenizer_of_another_model(self, saved: Path) -> None:
        Tokenizer.learn(["one two three four five six seven"], kind="words").write(saved)
        (saved / "SHA256SUMS").unlink()
        refused(saved, "10 tokens", f"only {VOCAB}")

    def test_foreign_folders(self, saved: Path) -> None:
        values = json.loads((saved / "config.json").read_text())
        del values["nextword"]
        (saved / "SHA256SUMS").unlink()
        (saved / "config.json").write_text(json.dumps(values))
        assert load_model(saved).kind == "dialogue"
        (saved / "chat_template.jinja").unlink()
        assert load_model(saved).kind == "text"
        edit(
            saved / "tokenizer_config.json",
            chat_template=[{"name": "default", "template": "{{ a }}"}],
        )
        assert load_model(saved).chat_template == "{{ a }}"


class TestTarget:
    def test_a_foreign_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "letters.txt").write_text("dear")
        with pytest.raises(FolderError, match="not empty and holds no model"):
            save(tmp_path, random_decoder(LLAMA), replace=True)
        assert [path.name for path in tmp_path.iterdir()] == ["letters.txt"]

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        with pytest.raises(FolderError, match="is a file"):
            save(tmp_path / "x", random_decoder(LLAMA))

    def test_a_model_is_replaced_only_on_request(self, saved: Path) -> None:
        with pytest.raises(FolderError, match="already holds a model"):
            save(saved, random_decoder(GPT2))
        assert same(load_model(saved).decoder, random_decoder(LLAMA))
        (saved / "notes.txt").write_text("mine")
        save(saved, random_decoder(GPT2), replace=True, kind="text", shard_bytes=2000)
        assert same(load_model(saved).decoder, random_decoder(GPT2))
        names = {path.name for path in saved.iterdir()}
        assert "notes.txt" in names
        assert not names & {"chat_template.jinja", "model.safetensors", SAVED, SAVING}

    def test_a_run_s_folder_and_an_empty_one(self, tmp_path: Path) -> None:
        for name in ("run/training", "empty"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "run/training/settings.json").write_text("{}")
        for name in ("run", "empty"):
            save(tmp_path / name, random_decoder(LLAMA))
            assert same(load_model(tmp_path / name).decoder, random_decoder(LLAMA))
        save(tmp_path / "run", random_decoder(LLAMA, seed=1))  # trained further
        assert same(load_model(tmp_path / "run").decoder, random_decoder(LLAMA, seed=1))

    def test_lessons_do_not_make_it_a_run_s_folder(self, saved: Path) -> None:
        (saved / "training").mkdir()
        (saved / "training/lessons.jsonl").touch()
        with pytest.raises(FolderError, match="already holds a model"):
            save(saved, random_decoder(LLAMA, seed=1))
        assert same(load_model(saved).decoder, random_decoder(LLAMA))

    def test_wrong_kind_and_wrong_tokenizer(self, tmp_path: Path) -> None:
        with pytest.raises(FolderError, match="Did you mean 'dialogue'"):
            save(tmp_path / "x", random_decoder(LLAMA), kind="dialog")
        small = Decoder(preset("seed", vocab_size=VOCAB - 1, d_model=2))
        with pytest.raises(FolderError, match="belong to different models"):
            save(tmp_path / "x", small)
        assert not list(tmp_path.iterdir())


class Crash(BaseException):
    """The machine stops here: nothing after this happens, no cleaning up either."""


def no_change(*_: Any) -> None:
    """Stand in for fsync."""


STEPS = ("replace", "rename", "link", "unlink", "rmdir", "mkdir", "fsync")


@contextlib.contextmanager
def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the disk's `step`th change, and every later one, not happen."""
    count = [0]

    def breaking(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **named: Any) -> Any:
            count[0] += 1
            if count[0] > step:
                raise Crash
            return change(*args, **named)

        return changed

    with monkeypatch.context() as patch:
        for name in STEPS:
            real = getattr(os, name) if name != "fsync" else no_change  # slow, and never seen here
            patch.setattr(os, name, breaking(real))
        yield count


def crashed(step: int, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> bool:
    """Do `change`, crashing at `step`; whether it crashed."""
    with crash_at(step, monkeypatch):
        try:
            change()
        except Crash:
            return True
    return False


OLD, NEW = random_decoder(LLAMA), random_decoder(GPT2, seed=1)


def is_new(loaded: LoadedModel) -> bool:
    """Whether it is the new model, whole; the old one, whole, otherwise."""
    if same(loaded.decoder, NEW):
        assert (loaded.kind, loaded.chat_template) == ("text", None)
        return True
    assert same(loaded.decoder, OLD)
    assert loaded.kind == "dialogue"
    return False


class TestCrash:
    def test_replacing_a_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, before, step, seen = tmp_path / "model", tmp_path / "before", 0, []
        save(before, OLD)

        def replace() -> None:
            save(folder, NEW, replace=True, kind="text", shard_bytes=10_000)

        while True:
            shutil.copytree(before, folder)
            broke = crashed(step, monkeypatch, replace)
            seen.append(is_new(load_model(folder)))
            if step % 7 == 0 or not broke:
                replace()  # after a crash all goes on as if nothing had been
                assert is_new(load_model(folder))
                assert not list(folder.glob(".*"))
            shutil.rmtree(folder)
            if not broke:
                break
            step += 1
        assert seen == sorted(seen)  # old up to one step, new from there on
        assert step > 30
        assert seen[0] is False and seen[-2] is True

    def test_a_new_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, step = tmp_path / "model", 0
        while crashed(step, monkeypatch, lambda: save(folder, OLD)):
            if folder.exists():
                assert not is_new(load_model(folder))
                shutil.rmtree(folder)
            step += 1
        assert step > 10
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("x")])
    def test_an_error_leaves_no_rest(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        before = sorted(path.name for path in saved.iterdir())

        def failing(*_: Any) -> None:
            raise error

        monkeypatch.setattr("nextword.formats.huggingface.safetensors_io.sync", failing)
        expected = RunError if isinstance(error, OSError) else ValueError
        with pytest.raises(expected):
            save(saved, NEW, replace=True)
        with pytest.raises(expected):
            save(saved.parent / "other", NEW)
        assert sorted(path.name for path in saved.iterdir()) == before
        assert [path.name for path in saved.parent.iterdir()] == ["model"]
        assert not is_new(load_model(saved))

    def test_without_second_names_files_are_copied(
        self, saved: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*_: Any) -> None:
            raise OSError("no hard links here")

        monkeypatch.setattr(os, "link", unsupported)
        save(saved, NEW, replace=True, kind="text")
        assert is_new(load_model(saved))


def test_memory_is_taken_once(tmp_path: Path) -> None:
    """Every tensor read has memory of its own: the file can be cut or removed afterwards."""
    save(tmp_path / "model", OLD)
    decoder = load_model(tmp_path / "model").decoder
    os.truncate(tmp_path / "model" / "model.safetensors", 0)
    assert same(decoder, OLD)
    storages = {item.untyped_storage().data_ptr() for item in decoder.parameters()}
    assert len(storages) == len(list(decoder.parameters()))
    for parameter in decoder.parameters():
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4

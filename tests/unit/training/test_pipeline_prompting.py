"""Trainings with a tokenizer or a chat template of others: what is learned is what is saved."""

import json
from pathlib import Path

import pytest
from tests.small_runs import Notes, quick, request, write_dialogues, write_text
from tokenizers import AddedToken, decoders, models, pre_tokenizers, processors
from tokenizers import Tokenizer as Backend

from nextword.common.files import read_json, write_json
from nextword.data.dialogue import CHAT_TEMPLATE
from nextword.data.prompting import own_template
from nextword.data.shards.token_shards import Shards
from nextword.errors import RunChangedError
from nextword.formats.huggingface.save_load import load_model
from nextword.training.pipeline import train

BOS, EOS = 256, 257


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A folder with a tokenizer of bytes that puts <s> before a text, and a template beside it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: id for id, piece in enumerate(alphabet)}
    backend = Backend(models.BPE(vocab=vocab, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = ("<s>", "</s>")
    backend.add_special_tokens([AddedToken(name, special=True) for name in names])
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", BOS)]
    )
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(backend.to_str())
    config = {"eos_token": "</s>", "bos_token": "<s>", "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("dialogues", [True, False])
def test_documents_begin_with_the_start_token(
    tokenizer: Path, tmp_path: Path, dialogues: bool
) -> None:
    data = (write_dialogues if dialogues else write_text)(tmp_path / "data.jsonl")
    data = data if dialogues else data.rename(tmp_path / "data.txt")
    train(request(data, tmp_path / "out", tokenizer=str(tokenizer)))
    shards = Shards(tmp_path / "out" / "training" / "data" / "train")
    starts = shards.document_starts[:-1].astype("int64")
    assert set(shards.take(starts).tolist()) == {BOS}
    loaded = load_model(tmp_path / "out")
    expected = own_template(loaded.tokenizer) if dialogues else None
    assert loaded.chat_template == expected != CHAT_TEMPLATE
    config = read_json(tmp_path / "out" / "tokenizer_config.json")
    assert "chat_template" not in config and config["bos_token"] == "<s>"


def test_a_run_that_an_older_version_began_without_the_start_token_is_refused(
    tokenizer: Path, tmp_path: Path
) -> None:
    data, out = write_dialogues(tmp_path / "data.jsonl"), tmp_path / "out"
    asked = request(data, out, tokenizer=str(tokenizer))
    train(asked)
    (out / "training" / "finished.json").unlink()
    plan = out / "training" / "plan.json"
    kept = read_json(plan)
    write_json(
        plan, {key: value for key, value in kept.items() if key not in ("prompting", "sha256")}
    )
    with pytest.raises(RunChangedError, match=r"older Nextword.*--fresh"):
        train(asked)
    write_json(plan, kept)
    train(asked)


def test_a_run_of_our_own_format_goes_on_without_a_word_of_it(tmp_path: Path) -> None:
    data, out = write_dialogues(tmp_path / "data.jsonl"), tmp_path / "out"
    asked = request(data, out)
    train(asked)
    (out / "training" / "finished.json").unlink()
    plan = out / "training" / "plan.json"
    kept = read_json(plan)
    write_json(
        plan, {key: value for key, value in kept.items() if key not in ("prompting", "sha256")}
    )
    train(asked)
    assert load_model(out).chat_template == CHAT_TEMPLATE


def test_shards_that_an_older_version_made_count_bytes_by_estimate(tmp_path: Path) -> None:
    data, out = write_dialogues(tmp_path / "data.jsonl"), tmp_path / "out"
    notes = Notes()
    train(request(data, out), reporter=notes)
    assert not [note for note in notes.notes if "bits per byte" in note]
    (out / "training" / "finished.json").unlink()
    manifest = out / "training" / "data" / "train" / "manifest.json"
    write_json(
        manifest, {k: v for k, v in read_json(manifest).items() if k not in ("byte_rule", "sha256")}
    )
    train(request(data, out), reporter=notes)
    assert len([note for note in notes.notes if "bits per byte is an estimate" in note]) == 1

"""Which weights a lesson may change, and a change that gives the same bits everywhere."""

import pytest
import torch

from nextword.config import ModelConfig
from nextword.errors import RunError
from nextword.model import Decoder
from nextword.presets import preset
from nextword.teach.config import TeachingConfig
from nextword.teach.edit.weight_delta import (
    Apprentice,
    Change,
    check_memory,
    copy_with,
    memory_needed,
    n_taught,
    resolve,
    taught_names,
)

VOCAB, WIDTH, INNER = 13, 14, 11


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    config = preset(
        "llama", vocab_size=VOCAB, context_length=19, d_model=WIDTH, n_layers=3, n_heads=1,
        d_ff=INNER,
    )  # fmt: skip
    return Decoder(config, seed=3).eval()


def test_auto_is_all_for_a_small_model(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(TeachingConfig(), decoder) == "all"
    assert resolve(TeachingConfig(scope="last"), decoder) == "last"
    monkeypatch.setattr("nextword.teach.edit.weight_delta.ADAPTER_ABOVE", decoder.n_parameters - 1)
    assert resolve(TeachingConfig(), decoder) == "adapter"


def test_the_last_layers_take_the_exit_along(decoder: Decoder) -> None:
    names = taught_names(decoder, "last", TeachingConfig(last_layers=2))
    assert {name.split(".")[1] for name in names if name.startswith("blocks.")} == {"1", "2"}
    assert [name for name in names if not name.startswith("blocks.")] == [
        "final_norm.weight", "unembedding.weight",
    ]  # fmt: skip
    everything = taught_names(decoder, "last", TeachingConfig(last_layers=7))
    assert set(taught_names(decoder, "all", TeachingConfig())) - set(everything) == {
        "token_embedding.weight"
    }


def test_tied_embeddings_belong_to_the_exit() -> None:
    tied = Decoder(ModelConfig(vocab_size=VOCAB, d_model=6, n_layers=2, tied_embeddings=True))
    names = taught_names(tied, "last", TeachingConfig(last_layers=1))
    assert names[0] == "token_embedding.weight" and "unembedding.weight" not in names


def test_an_adapter_is_on_the_matrices_of_the_blocks(decoder: Decoder) -> None:
    names = taught_names(decoder, "adapter", TeachingConfig())
    assert len(names) == 3 * 7 and all("norm" not in name for name in names)
    # query, key, value, output 14 × 14; gate and up 11 × 14, down 14 × 11
    numbers = 3 * (4 * (14 + 14) + 3 * (11 + 14)) * 2
    assert n_taught(decoder, "adapter", TeachingConfig(rank=2)) == numbers
    assert n_taught(decoder, "all", TeachingConfig()) == decoder.n_parameters


def test_without_blocks_every_scope_is_all() -> None:
    bare = Decoder(ModelConfig(vocab_size=VOCAB, d_model=6, n_layers=0))
    for scope in ("last", "adapter"):
        assert taught_names(bare, scope, TeachingConfig()) == tuple(
            name for name, _ in bare.named_parameters()
        )
        assert n_taught(bare, scope, TeachingConfig()) == bare.n_parameters


def test_a_change_is_added_in_float32_and_cast_once() -> None:
    weight = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.bfloat16)
    untouched = torch.tensor([7.0])
    left, right = (
        torch.tensor([[1.0, 2.0], [0.0, 1.0]]),
        torch.tensor([[1.0, 0.0, 1.0], [0.5, 0.5, 0.0]]),
    )
    change = Change({"a": torch.full((2, 3), 0.5)}, {"b": (left, right)})
    applied = change.apply({"a": weight, "b": weight, "c": untouched})
    assert applied["c"] is untouched
    assert applied["a"].dtype == torch.bfloat16
    assert applied["a"].tolist() == [[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]]
    assert applied["b"].tolist() == [[2.0, 2.0, 4.0], [6.5, 5.5, 8.0]]
    assert weight.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    assert change.n_bytes == 4 * (6 + 4 + 6)


def test_a_change_comes_back_from_its_tensors() -> None:
    change = Change({"a.weight": torch.rand(2, 3)}, {"b": (torch.rand(5, 2), torch.rand(5, 3))})
    assert set(change.tensors()) == {"a.weight", "b.left", "b.right"}
    again = Change.from_tensors(change.tensors())
    assert again.names == ("a.weight", "b")
    assert torch.equal(again.whole["a.weight"], change.whole["a.weight"])
    assert all(map(torch.equal, again.factors["b"], change.factors["b"]))


def test_the_copy_shares_what_it_does_not_learn(decoder: Decoder) -> None:
    apprentice = Apprentice(decoder, "last", TeachingConfig(last_layers=1))
    mine, its = dict(decoder.named_parameters()), dict(apprentice.decoder.named_parameters())
    taught = set(taught_names(decoder, "last", TeachingConfig(last_layers=1)))
    shared = {name for name in mine if mine[name].data_ptr() == its[name].data_ptr()}
    assert shared == set(mine) - taught
    assert {name for name, weight in its.items() if weight.requires_grad} == taught
    assert all(not difference.any() for difference in apprentice.change().whole.values())


def test_a_tied_copy_stays_tied() -> None:
    tied = Decoder(ModelConfig(vocab_size=VOCAB, d_model=6, tied_embeddings=True))
    new = torch.rand(VOCAB, 6)
    copied = copy_with(tied, {"token_embedding.weight": new})
    assert copied.unembedding.weight is copied.token_embedding.weight
    assert torch.equal(copied.unembedding.weight, new)
    assert not torch.equal(tied.unembedding.weight, new)


def test_memory_grows_with_what_is_taught_and_read(decoder: Decoder) -> None:
    config = TeachingConfig(rehearsal_batch=2)
    small = memory_needed(decoder, "adapter", TeachingConfig(rehearsal_batch=2, rank=1), longest=7)
    assert small < memory_needed(decoder, "all", config, longest=7)
    step = memory_needed(decoder, "all", config, longest=8, rows=5) - memory_needed(
        decoder, "all", config, longest=8, rows=4
    )
    inner = 12 * WIDTH + 4 * INNER + 2 * 1 * 8
    assert step == 4 * 8 * (3 * inner + 2 * VOCAB)  # one more row of 8 tokens


def test_too_little_memory_is_said_before_the_lesson() -> None:
    check_memory(3_100_000_000, available=None)
    check_memory(5, available=5)
    with pytest.raises(RunError, match=r"about 3\.1 GB of memory and 2\.0 GB are there"):
        check_memory(3_100_000_000, available=2_000_000_000)

"""Token shift: worked out by hand, in documents, with what went before, and in the decoder."""

import pytest
import torch
from tests.parity.grid import config_of
from tests.parity.test_forwards import loud, sentence

from nextword.config import ModelConfig
from nextword.errors import ConfigError
from nextword.model import Decoder, KeyValueCache
from nextword.model.token_shift import TokenShift
from nextword.presets import preset

VECTORS = torch.arange(1.0, 6.0)[:, None] * torch.tensor([1.0, 10.0, 100.0])  # T 5, M 3
ADDED = torch.tensor([
    [0.0, 0.0, 0.0],  # nothing stands before
    [2.0, 30.0, 500.0],  # 2, 3, 5 times the first
    [4.0 + 7.0, 60.0 + 110.0, 1000.0 + 1300.0],  # of the second, and 7, 11, 13 times the first
    [6.0 + 14.0, 90.0 + 220.0, 1500.0 + 2600.0],
    [8.0 + 21.0, 120.0 + 330.0, 2000.0 + 3900.0],
])  # fmt: skip


@pytest.fixture
def shift() -> TokenShift:
    shift = TokenShift(2, 3)
    with torch.no_grad():
        shift.weight.copy_(torch.tensor([[2.0, 3.0, 5.0], [7.0, 11.0, 13.0]]))
    return shift


def test_by_hand(shift: TokenShift) -> None:
    assert torch.equal(shift(VECTORS[None], tokens=5)[0], ADDED)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_words_that_went_before_count(shift: TokenShift, before: int) -> None:
    found = shift(VECTORS[None, 2 - before :], tokens=3)[0]
    expected = shift(VECTORS[None, 2 - before :], tokens=3 + before)[0, before:]
    assert torch.equal(found, expected)
    if before == 2:
        assert torch.equal(found, ADDED[2:])


def test_words_of_another_document_add_nothing(shift: TokenShift) -> None:
    documents = torch.tensor([[4, 4, 4, 0, 0]])
    found = shift(VECTORS[None], tokens=5, documents=documents)[0]
    last = torch.tensor([8.0, 120.0, 2000.0])  # of the word before alone
    assert torch.equal(found, torch.stack((*ADDED[:3], torch.zeros(3), last)))


def test_more_words_than_there_are() -> None:
    shift = TokenShift(7, 3)
    with torch.no_grad():
        shift.weight.fill_(1.0)
    assert torch.equal(shift(VECTORS[None], tokens=5)[0, 4], VECTORS[:4].sum(dim=0))


def test_it_starts_as_nothing_and_draws_nothing() -> None:
    plain = dict(Decoder(config_of("llama"), seed=5).named_parameters())
    values = {**vars(config_of("llama")), "token_shift": 2}
    shifted = dict(Decoder(ModelConfig(**values), seed=5).named_parameters())
    assert set(shifted) - set(plain) == {"token_shift.weight"}
    assert shifted["token_shift.weight"].shape == (2, 23)
    assert not shifted["token_shift.weight"].any()
    assert all(torch.equal(shifted[name], plain[name]) for name in plain)


@pytest.mark.parametrize("row", ["token shift", "token shift of many", "token shift, learned"])
def test_a_later_word_changes_no_earlier_logit(row: str) -> None:
    config = config_of(row)
    decoder, ids = loud(config), sentence(config)
    other = ids.clone()
    other[7] = (ids[7] + 1) % config.vocab_size
    one, two = decoder(ids[None])[0], decoder(other[None])[0]
    assert torch.equal(one[:7], two[:7])
    assert (one[7:] != two[7:]).any(dim=-1).all()


def test_a_model_without_blocks_hears_of_so_many_words_and_no_more() -> None:
    config = config_of("token shift, no blocks")  # 3 words
    decoder, ids = loud(config), sentence(config)
    other = ids.clone()
    other[5] = (ids[5] + 1) % config.vocab_size
    changed = (decoder(ids[None])[0] != decoder(other[None])[0]).any(dim=-1)
    assert changed.nonzero()[:, 0].tolist() == [5, 6, 7, 8]


def test_what_a_cache_forgets_is_gone() -> None:
    config = config_of("token shift")
    decoder, ids = loud(config), sentence(config)[None]
    cache = KeyValueCache(config, capacity=17)
    decoder(torch.cat((ids[:, :6], ids[:, 9:13]), dim=1), cache=cache)
    cache.truncate(6)
    found = decoder(ids[:, 6:], cache=cache)
    torch.testing.assert_close(found, decoder(ids)[:, 6:], rtol=1e-4, atol=1e-5)


def test_places_that_are_given_change_no_neighbours() -> None:
    config = config_of("token shift, learned")
    decoder, ids = loud(config), sentence(config, tokens=5)
    positions = torch.tensor([[3, 0, 11, 2, 7]])
    entering: list[torch.Tensor] = []
    decoder.blocks[0].register_forward_pre_hook(lambda _, inputs: entering.append(inputs[0]))
    decoder(ids[None], positions=positions)
    assert decoder.position_embedding is not None and decoder.token_shift is not None
    vectors = decoder.token_embedding(ids)
    added = decoder.token_shift(vectors[None], tokens=5)[0]
    expected = vectors + added + decoder.position_embedding(positions[0])
    torch.testing.assert_close(entering[0][0], expected)


def test_below_zero_words_are_refused() -> None:
    with pytest.raises(ConfigError, match="token_shift is -1; it must be at least 0"):
        preset("qwen3", vocab_size=11, token_shift=-1)


def test_the_preset_is_qwen3_and_two_words() -> None:
    ours = preset("nextword", vocab_size=11, depth=2)
    assert ours.token_shift == 2
    assert vars(ours) == vars(preset("qwen3", vocab_size=11, depth=2)) | {"token_shift": 2}
    assert preset("qwen3", vocab_size=11).token_shift == 0

"""The key/value cache: its memory grows with what it holds, and its values stay."""

import pytest
import torch

from nextword.config import ModelConfig
from nextword.errors import ContextError
from nextword.model import Decoder, KeyValueCache
from nextword.model.kv_cache import FIRST_ROOM

CONFIG = ModelConfig(
    vocab_size=11, d_model=6, n_heads=3, d_head=2, n_kv_heads=1, n_layers=2, context_length=10**12
)


def room(cache: KeyValueCache) -> int:
    """Return for how many tokens there is memory."""
    return cache._keys.shape[3]


def test_memory_is_taken_as_tokens_come() -> None:
    cache = KeyValueCache(CONFIG)
    assert cache.capacity == 10**12 and room(cache) == 0
    decoder = Decoder(CONFIG).eval()
    with torch.inference_mode():
        decoder(torch.zeros(1, 3, dtype=torch.int64), cache=cache)
        assert room(cache) == FIRST_ROOM
        decoder(torch.zeros(1, FIRST_ROOM, dtype=torch.int64), cache=cache)
    assert (cache.length, room(cache)) == (FIRST_ROOM + 3, 2 * FIRST_ROOM)


def test_it_never_grows_beyond_its_capacity() -> None:
    cache = KeyValueCache(CONFIG, capacity=FIRST_ROOM + 7)
    decoder = Decoder(CONFIG).eval()
    with torch.inference_mode():
        for _ in range(2):
            decoder(torch.zeros(1, FIRST_ROOM // 2 + 3, dtype=torch.int64), cache=cache)
    assert room(cache) == FIRST_ROOM + 7
    with pytest.raises(ContextError, match=f"holds {FIRST_ROOM + 6} of {FIRST_ROOM + 7} tokens"):
        decoder(torch.zeros(1, 2, dtype=torch.int64), cache=cache)


@pytest.mark.parametrize("shift", [0, 1])
def test_what_was_held_before_it_grew_is_still_read(shift: int) -> None:
    config = ModelConfig(
        vocab_size=11, d_model=6, n_heads=3, d_head=2, n_layers=2, context_length=999,
        token_shift=shift,
    )  # fmt: skip
    decoder = Decoder(config).eval()
    ids = torch.randint(11, (2, FIRST_ROOM + 5), generator=torch.Generator().manual_seed(3))
    documents = torch.zeros_like(ids, dtype=torch.int32)
    documents[1, :9] = -1
    cache = KeyValueCache(config, batch_size=2)
    with torch.inference_mode():
        first = decoder(ids[:, :7], cache=cache, documents=documents[:, :7])
    rest = decoder(ids[:, 7:], cache=cache, documents=documents[:, 7:])  # grows, with gradients
    whole = decoder(ids, documents=documents, positions=torch.arange(FIRST_ROOM + 5).expand(2, -1))
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole, rtol=1e-4, atol=1e-4)

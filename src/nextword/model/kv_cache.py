"""The key/value cache: what earlier tokens left to be looked at. The caller owns it."""

import torch
from torch import Tensor

from nextword.config import ModelConfig
from nextword.errors import ContextError

FIRST_ROOM = 256  # tokens


class KeyValueCache:
    """Keys and values of every layer, so that a new token costs one position's work.

    The decoder fills it and the caller owns it: `decoder(ids, cache=cache)` reads the tokens
    before, appends the new ones and moves `length` on.

    Args:
        config: the decoder's.
        batch_size: B, sequences side by side.
        capacity: the most tokens it will hold; memory is taken as they come. None: the context.
        dtype, device: of keys and values.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        batch_size: int = 1,
        capacity: int | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity = config.context_length if capacity is None else capacity
        self.length = 0
        shape = (config.n_layers, batch_size, config.kv_heads, 0, config.head_width)
        self._keys = torch.zeros(shape, dtype=dtype, device=device)
        self._values = torch.zeros(shape, dtype=dtype, device=device)
        self._documents = torch.zeros((batch_size, 0), dtype=torch.int32, device=device)
        self._token_ids: Tensor | None = None
        if config.token_shift:
            self._token_ids = torch.zeros((batch_size, 0), dtype=torch.int64, device=device)

    def _make_room(self, end: int) -> None:
        """Have memory for `end` tokens: at least twice as much as before, so copies are few.

        A context window of a million takes nothing until it is used.
        """
        held = self._keys.shape[3]
        if end <= held:
            return
        room = min(max(end, 2 * held, FIRST_ROOM), max(end, self.capacity))
        with torch.inference_mode(False), torch.no_grad():
            self._keys = _longer(self._keys, 3, room)
            self._values = _longer(self._values, 3, room)
            self._documents = _longer(self._documents, 1, room)
            if self._token_ids is not None:
                self._token_ids = _longer(self._token_ids, 1, room)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values [B, K, T, D]; returns all so far [B, K, S, D]."""
        end = self.length + key.shape[2]
        self._make_room(end)
        self._keys[layer, :, :, self.length : end] = key
        self._values[layer, :, :, self.length : end] = value
        return self._keys[layer, :, :, :end], self._values[layer, :, :, :end]

    def append_documents(self, documents: Tensor) -> Tensor:
        """Store which document each new token belongs to [B, T]; returns all so far [B, S]."""
        end = self.length + documents.shape[1]
        self._make_room(end)
        self._documents[:, self.length : end] = documents
        return self._documents[:, :end]

    def append_tokens(self, token_ids: Tensor, *, back: int) -> Tensor:
        """Store the new tokens' ids [B, T], for token shift alone.

        Returns:
            [B, E + T]: the new ones, after up to `back` of those before them.
        """
        assert self._token_ids is not None, "the cache was made for a model without token shift"
        end = self.length + token_ids.shape[1]
        self._make_room(end)
        self._token_ids[:, self.length : end] = token_ids
        return self._token_ids[:, max(0, self.length - back) : end]

    def check_room(self, tokens: int) -> None:
        """Refuse more tokens than fit.

        Raises:
            ContextError: `tokens` more would pass the capacity.
        """
        if self.length + tokens > self.capacity:
            raise ContextError(
                f"the cache holds {self.length} of {self.capacity} tokens; {tokens} more do not "
                "fit: make it with a larger capacity, or start a new one"
            )

    def advance(self, tokens: int) -> None:
        """Count `tokens` new tokens as held."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Forget every token from `length` on.

        Raises:
            ContextError: more tokens asked for than are held.
        """
        if not 0 <= length <= self.length:
            raise ContextError(f"cannot keep {length} tokens of the {self.length} in the cache")
        self.length = length


def _longer(held: Tensor, dimension: int, room: int) -> Tensor:
    """Return `held` followed by zeros, `room` long in one dimension."""
    shape = list(held.shape)
    shape[dimension] = room
    longer = torch.zeros(shape, dtype=held.dtype, device=held.device)
    longer.narrow(dimension, 0, held.shape[dimension]).copy_(held)
    return longer

"""Token ids to logits: the fast forward. No I/O, no tracing, no sampling, no distribution."""

from nextword.model.cache import KeyValueCache
from nextword.model.decoder import Decoder

__all__ = ["Decoder", "KeyValueCache"]

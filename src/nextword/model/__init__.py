"""Token ids to logits: the fast forward. No I/O, no tracing, no sampling, no distribution."""

from nextword.model.decoder import Decoder
from nextword.model.kv_cache import KeyValueCache

__all__ = ["Decoder", "KeyValueCache"]

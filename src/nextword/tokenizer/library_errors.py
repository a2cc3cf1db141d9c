"""The door to the `tokenizers` library: whatever it throws leaves as a TokenizerError.

The library is written in Rust. Where that panics, Python gets a PanicException, which is no
Exception: it passes every handler that does not name BaseException. Its ordinary errors are bare
Exceptions. Both come from a tokenizer.json that says something impossible, and only there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from nextword.errors import NextwordError, TokenizerError

PANIC = "pyo3_runtime"  # the module that PanicException says it is of; no import reaches it
SHOWN = 300  # characters of the library's own message


@contextmanager
def guarded(what: str, *, mend: str) -> Iterator[None]:
    """Turn what the library throws inside the block into a TokenizerError.

    An interrupt, the end of the program and errors that Nextword raised itself pass as they are.

    Args:
        what: what was being done, as "this tokenizer cannot encode a text".
        mend: what to do about it.

    Raises:
        TokenizerError: the library panicked or raised an error.
    """
    try:
        yield
    except (NextwordError, MemoryError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__module__ != PANIC:
            raise
        told = " ".join(str(error).split())[:SHOWN] or type(error).__name__
        raise TokenizerError(f"{what}: {told}; {mend}") from error

"""How vocabularies spell bytes."""

import re

BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")  # how SentencePiece writes a byte


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's way to write each byte as a visible character: itself, or one from 256 on.

    Source: `bytes_to_unicode` in https://github.com/openai/gpt-2/blob/master/src/encoder.py
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {
        chr(256 + place): byte for place, byte in enumerate(hidden)
    }


_BYTE_OF = _byte_alphabet()


def bytes_of(piece: str) -> bytes:
    """Return the bytes of a byte-level token; an added token stands for its own text."""
    try:
        return bytes(_BYTE_OF[character] for character in piece)
    except KeyError:
        return piece.encode("utf-8")

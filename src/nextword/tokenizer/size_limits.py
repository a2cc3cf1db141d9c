"""Bounds on a stranger's tokenizer.json: what it may ask of memory and time.

The library does what the file says. A few bytes of it can ask for gigabytes (a normalizer that
replaces each letter by a thousand, a map that claims a size of its own), or for work that grows
with the cube of a word. So the components are looked at before the library gets to see them.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tokenizers import Regex, normalizers

from nextword.tokenizer.regex_safety import slow_pattern
from nextword.tokenizer.training import MAX_IDS

PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
MAX_DEPTH = 32  # of components in components
MAX_COMPONENTS = 200  # in one part; real ones have about ten
MAX_STRING = 1 << 16  # characters of a string in a component, but for the map of Precompiled
MAX_TOKEN = {"WordLevel": 1 << 20, "Unigram": 1 << 10}  # characters; Unigram tries all lengths
MAX_OTHER_TOKEN = 1 << 16  # of other models, and of added tokens
MAX_ADDED = 200_000  # added tokens
MAX_WORD = 256  # WordPiece looks at every part of a word: the work is its length cubed
MAX_GROWTH = 40  # characters that normalizing, or decoding, makes of one; NFKC alone makes 18
MAX_NUMBER = MAX_IDS  # of any count in a component
PROBES = ("a", "A", "1", " ", "\n", ".", "é", "漢", "ab", "a b", "a1", "a.")
MAX_ITEMS = 10_000  # of any list in a component


def problem_in(content: Mapping[str, Any]) -> str | None:
    """Return why a tokenizer.json is unsafe to build, as the end of a sentence; None if nothing.

    Args:
        content: the file, with a model that is an object.
    """
    return next(_problems(content), None)


def _problems(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _in_model(content["model"])
    yield from _in_added(content.get("added_tokens"))
    for name in PARTS:
        yield from _in_part(name, content.get(name))


def _in_model(model: Mapping[str, Any]) -> Iterator[str]:
    longest = model.get("max_input_chars_per_word")
    if isinstance(longest, int) and longest > MAX_WORD:
        yield (
            f"sets max_input_chars_per_word to {longest}; at most {MAX_WORD} are allowed, as the "
            "work on a word is the cube of its length"
        )
    vocabulary = model.get("vocab")
    names: Iterable[Any] = vocabulary if isinstance(vocabulary, dict) else ()
    if isinstance(vocabulary, list):
        names = [item[0] for item in vocabulary if isinstance(item, list) and item]
    yield from _too_long("a token", names, MAX_TOKEN.get(str(model.get("type")), MAX_OTHER_TOKEN))
    others = (value for value in model.values() if isinstance(value, str))
    yield from _too_long("a string of its model", others, MAX_STRING)


def _in_added(added: Any) -> Iterator[str]:
    if not isinstance(added, list):
        return
    if len(added) > MAX_ADDED:
        yield f"has {len(added)} added tokens; at most {MAX_ADDED} are allowed"
    names = (item.get("content") for item in added if isinstance(item, dict))
    yield from _too_long("an added token", names, MAX_OTHER_TOKEN)


def _too_long(what: str, names: Iterable[Any], most: int) -> Iterator[str]:
    longest = max((len(name) for name in names if isinstance(name, str)), default=0)
    if longest > most:
        yield f"has {what} of {longest} characters; at most {most} are allowed"


def _in_part(name: str, part: Any) -> Iterator[str]:
    """Look at one part: its components, the strings and numbers in them, and how it grows text."""
    values = _values(part)
    try:
        for path, value in values:
            yield from _in_value(f"its {name}", path, value)
    except RecursionError:
        yield f"nests components in its {name} more than {MAX_DEPTH} deep"
        return
    components = list(_components(part))
    if len(components) > MAX_COMPONENTS:
        yield f"has {len(components)} components in its {name}; at most {MAX_COMPONENTS} are read"
    growth = 1.0
    for component in components:
        if component.get("type") == "Precompiled":
            longest, problem = _read_map(component.get("precompiled_charsmap"))
            yield from [problem] if problem else []
            growth *= max(longest, 1)
        growth *= _growth(component)
    if growth > MAX_GROWTH and name in ("normalizer", "decoder"):
        yield (
            f"makes up to {growth:.3g} characters of one in its {name}; at most {MAX_GROWTH} are "
            "allowed"
        )


def _values(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every value below `value` with the key that it stands under."""
    if depth > MAX_DEPTH:
        raise RecursionError
    yield key, value
    if isinstance(value, list):
        for item in value:
            yield from _values(item, key, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _values(item, name, depth + 1)


def _in_value(where: str, key: str, value: Any) -> Iterator[str]:
    if isinstance(value, str) and key == "Regex" and (problem := slow_pattern(value)):
        yield (
            f"splits text with the pattern {value[:80]!r}, which {problem}: some texts would take "
            "forever; write the pattern without it"
        )
    if isinstance(value, str) and key != "precompiled_charsmap" and len(value) > MAX_STRING:
        yield f"has {len(value)} characters in {where}; at most {MAX_STRING} are allowed"
    if isinstance(value, int) and value > MAX_NUMBER:
        yield f"sets {key} to {value} in {where}; at most {MAX_NUMBER} is allowed"
    if isinstance(value, list) and len(value) > MAX_ITEMS:
        yield f"has a list of {len(value)} in {where}; at most {MAX_ITEMS} are allowed"


def _components(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the components of a part, those in sequences one after the other."""
    if isinstance(part, list):
        for item in part:
            yield from _components(item)
    elif isinstance(part, dict):
        yield part
        for key in ("normalizers", "pretokenizers", "processors", "decoders"):
            yield from _components(part.get(key))


def _growth(component: Mapping[str, Any]) -> float:
    """Return how many characters a component makes of one at the most, where it can be many.

    Normal forms are not counted: they change nothing twice, and make 18 of one at the most.
    """
    prepended, content = component.get("prepend"), component.get("content")
    if component.get("type") == "Prepend" and isinstance(prepended, str):
        return 1.0 + len(prepended)
    pattern = component.get("pattern")
    if component.get("type") != "Replace" or not isinstance(content, str):
        return 1.0
    plain = pattern.get("String") if isinstance(pattern, dict) else None
    if isinstance(plain, str) and plain:
        return max(1.0, len(content) / len(plain))
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    if isinstance(regex, str) and not _matches_nothing(regex):
        return max(1.0, len(content))
    return 1.0 + len(content)


def _matches_nothing(pattern: str) -> bool:
    """Return whether a pattern is found between characters, so that text is put in there."""
    replace = normalizers.Replace(Regex(pattern), "\0")
    return any(len(replace.normalize_str(probe)) > len(probe) for probe in PROBES)


def _read_map(encoded: Any) -> tuple[int, str | None]:
    """Read SentencePiece's map: 4 bytes with the size of its trie, the trie, then texts.

    The texts end in zero bytes, and a character becomes one of them.

    Returns:
        The characters of the longest text; and what is wrong, or None.
    """
    try:
        content = base64.b64decode(encoded or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        return 0, "has a precompiled_charsmap that is no base64"
    size = int.from_bytes(content[:4], "little")
    if content and (len(content) < 4 or size % 4 or size > len(content) - 4):
        claims = f"of {len(content)} bytes that claims a trie of {size} bytes"
        return 0, f"has a precompiled_charsmap {claims}"
    texts = content[4 + size :].split(b"\0")
    return max(len(text.decode("utf-8", "replace")) for text in texts), None

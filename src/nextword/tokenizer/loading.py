"""Opening the tokenizer of a folder, Nextword's own or another project's, without trusting it.

A tokenizer.json is a program of sorts: its ids decide how much memory the embeddings take, its
patterns how long a text takes to split. Both are checked before the file is used.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, models
from tokenizers import Tokenizer as Backend

from nextword.common.files import MAX_FILE, read_json
from nextword.errors import FolderError, TokenizerError
from nextword.tokenizer.library_errors import guarded
from nextword.tokenizer.size_limits import problem_in
from nextword.tokenizer.training import END, MAX_IDS

MAX_TOKENIZER_CONFIG = 16 << 20  # bytes; it names every added token
MAX_SMALL = 4 << 20  # bytes of the other files
KNOWN_ENDS = (END, "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "</s>", "<eos>")
RELEARN = "learn a tokenizer anew, or copy the file again from where it came"


@dataclass(frozen=True)
class Specials:
    """The ids with a meaning of their own."""

    end_id: int
    pad_id: int
    unknown_id: int | None
    end_ids: frozenset[int]  # all that end a reply; some families have several


def read_tokenizer(folder: Path) -> tuple[Backend, Specials, dict[str, Any]]:
    """Read the tokenizer of a model folder, its special tokens, and its tokenizer_config.json.

    Raises:
        TokenizerError: a file is missing, damaged, too large, or unsafe; says which and why.
    """
    path = folder / "tokenizer.json"
    with guarded(f"{path} is no tokenizer that can be used", mend=RELEARN):
        content = _read_checked(path)
        backend = Backend.from_str(json.dumps(content, ensure_ascii=False))
        _check_added(path, content, backend)
        backend.no_truncation()
        backend.no_padding()
        if isinstance(backend.model, models.BPE):
            backend.model.dropout = None  # the same text always gives the same ids
        config = {
            **_optional(folder / "special_tokens_map.json", limit=MAX_SMALL),
            **_optional(folder / "tokenizer_config.json", limit=MAX_TOKENIZER_CONFIG),
        }
        return backend, _find_specials(folder, backend, config, content["model"]), config


def _read_checked(path: Path) -> dict[str, Any]:
    """Read a tokenizer.json that is safe to hand on."""
    if not path.exists() and not path.is_symlink():
        raise TokenizerError(
            f"{path} does not exist; a model folder holds its tokenizer there "
            "(a tokenizer in another format must first be saved as tokenizer.json)"
        )
    content = _json(path, limit=MAX_FILE)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise TokenizerError(f"{path} is no tokenizer: it has no model; {RELEARN}")
    if not isinstance(content.get("added_tokens") or [], list):
        raise TokenizerError(f"{path} is no tokenizer: added_tokens is no list; {RELEARN}")
    for id in _ids(content):
        if type(id) is not int or not 0 <= id < MAX_IDS:
            raise TokenizerError(
                f"{path} gives a token the id {str(id)[:80]}; ids are whole numbers from 0 to "
                f"{MAX_IDS - 1}"
            )
    if problem := problem_in(content):
        raise TokenizerError(f"{path} {problem}")
    return content


def _ids(content: Mapping[str, Any]) -> Iterator[Any]:
    """Every id that a tokenizer.json gives to a token."""
    vocabulary = content["model"].get("vocab")
    if isinstance(vocabulary, dict):
        yield from vocabulary.values()
    elif isinstance(vocabulary, list):  # Unigram: the ids are the places in the list
        yield from range(len(vocabulary))
    for added in content.get("added_tokens") or ():
        yield added.get("id") if isinstance(added, dict) else added


def _check_added(path: Path, content: Mapping[str, Any], backend: Backend) -> None:
    """Added tokens have the ids that the file says; the library renumbers them silently."""
    for added in content.get("added_tokens") or ():
        given, found = added["id"], backend.token_to_id(added["content"])
        if given != found:
            raise TokenizerError(
                f"{path} gives {added['content']!r} the id {given}, but its place is {found}: "
                "added tokens follow the vocabulary without a gap; mend the ids in added_tokens"
            )


def _find_specials(
    folder: Path, backend: Backend, config: Mapping[str, Any], model: Mapping[str, Any]
) -> Specials:
    """Which ids end a reply, fill a batch and stand for the unknown."""
    end_ids = _end_ids(folder, backend, config)
    pad_id = _pad_id(backend, config, end_ids)
    backend.add_special_tokens([_as_special(backend, id) for id in (*end_ids, pad_id)])
    name = _unknown_name(model)
    unknown_id = None if name is None else backend.token_to_id(name)
    return Specials(
        end_id=end_ids[0],
        pad_id=pad_id,
        unknown_id=None if unknown_id in end_ids else unknown_id,
        end_ids=frozenset(end_ids),
    )


def _as_special(backend: Backend, id: int) -> AddedToken:
    """The token marked as special, so that user text which spells it out never becomes it."""
    token = backend.get_added_tokens_decoder().get(id)
    if token is None:
        return AddedToken(backend.id_to_token(id), normalized=False, special=True)
    token.special = True
    return token


def _end_ids(folder: Path, backend: Backend, config: Mapping[str, Any]) -> list[int]:
    """All ids that end a reply; the first is the one that this tokenizer's config names."""
    found = []
    if (name := _name(config.get("eos_token"))) is not None:
        if (id := backend.token_to_id(name)) is None:
            raise TokenizerError(
                f"{folder} names the end token {name!r}, which its tokenizer.json does not have; "
                "mend eos_token in tokenizer_config.json"
            )
        found.append(id)
    for file in ("generation_config.json", "config.json"):
        value = _optional(folder / file).get("eos_token_id")
        for id in value if isinstance(value, list) else [value]:
            if type(id) is int and 0 <= id < MAX_IDS and backend.id_to_token(id) is not None:
                found.append(id)
    if not found:
        known = (backend.token_to_id(name) for name in KNOWN_ENDS)
        found = [id for id in known if id is not None][:1]
    if not found:
        raise TokenizerError(
            f"{folder} does not say which token ends a reply; add its name to "
            'tokenizer_config.json: {"eos_token": "…"}'
        )
    return list(dict.fromkeys(found))


def _pad_id(backend: Backend, config: Mapping[str, Any], end_ids: list[int]) -> int:
    """The named pad token; else a special one called pad; else the last special; else the end.

    Padding never carries loss and is never attended to, so any token would do; one that is
    not an end token keeps the two apart for whoever looks at a batch.
    """
    name = _name(config.get("pad_token"))
    named = None if name is None else backend.token_to_id(name)
    if named is not None and named not in end_ids:
        return named
    added = backend.get_added_tokens_decoder().items()
    free = {id: token.content for id, token in added if token.special and id not in end_ids}
    called_pad = [id for id, content in free.items() if "pad" in content.lower()]
    return min(called_pad, default=max(free, default=end_ids[0]))


def _unknown_name(model: Mapping[str, Any]) -> str | None:
    """What the model itself puts in place of text that it does not know."""
    place = model.get("unk_id")
    if isinstance(place, int) and isinstance(model.get("vocab"), list):
        return str(model["vocab"][place][0])
    return _name(model.get("unk_token"))


def _name(token: Any) -> str | None:
    """The text of a token in a config: a string, or an object with its content."""
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) and content else None


def _optional(path: Path, *, limit: int = MAX_SMALL) -> dict[str, Any]:
    """Read the object in a JSON file, or an empty one where there is no such file."""
    content = _json(path, limit=limit) if path.exists() or path.is_symlink() else {}
    if not isinstance(content, dict):
        raise TokenizerError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def _json(path: Path, *, limit: int) -> Any:
    try:
        return read_json(path, limit=limit)
    except FolderError as error:
        raise TokenizerError(f"{path} cannot be read ({error}); {RELEARN}") from error

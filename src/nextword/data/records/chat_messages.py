"""Chat messages in the shapes that published sets have → messages with a role and a text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from nextword.data.records.read_report import Tally
from nextword.data.records.record_keys import MESSAGE_PAIRS, fold
from nextword.data.records.record_values import (
    LeftOutError,
    ShapeError,
    filled,
    is_filled,
    is_zero,
    kind_of,
    text,
)

USED = frozenset(
    [key for pair in MESSAGE_PAIRS for key in pair] + ["weight", "tool_calls", "function_call"]
)
WEIGHTLESS = "a reply in it has weight 0, so it must not be learned"


def plain_messages(
    messages: Any, *, list_key: str, pair: tuple[str, str], tally: Tally
) -> list[dict[str, str]]:
    """Return a list of messages as role and content, in the order given.

    Content parts of text are joined and others left out; tool calls become text. `tally` counts
    both. A system message without text is passed over.

    Args:
        messages: what stands under `list_key`.
        list_key: for messages to people.
        pair: the keys of who speaks and what is said that are usual under `list_key`.
        tally: of the file.

    Raises:
        ShapeError: it is no list, or a message is broken; says which, counting from 1.
        LeftOutError: a reply has the weight 0.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, str):
        raise ShapeError(f"{list_key!r} is {kind_of(messages)}; it must be a list")
    plain = []
    for number, message in enumerate(messages, 1):
        name = f"message {number} of {list_key!r}"
        if not isinstance(message, Mapping):
            raise ShapeError(f"{name} must be an object with {pair[0]!r} and {pair[1]!r}")
        found = _plain(message, name, pair, tally)
        if found is not None:
            plain.append(found)
    return plain


def _plain(
    given: Mapping[str, Any], name: str, pair: tuple[str, str], tally: Tally
) -> dict[str, str] | None:
    message = given if USED.issuperset(given) else _folded(given, tally)
    calls = _calls(message, tally)
    role, content = _pair(message, pair, calls=bool(calls), name=name)
    speaker = filled(message[role], f"{role!r} in {name}")
    said = _content(message.get(content), f"{content!r} in {name}", calls, tally)
    if fold(speaker) in ("system", "developer") and not said.strip():
        return None
    _check_weight(message, speaker, tally)
    return {"role": speaker, "content": filled(said, f"{content!r} in {name}")}


def _folded(message: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """Return the message with its keys as they are compared; count those that are not used."""
    found: dict[str, Any] = {}
    for key, value in message.items():
        name = fold(key)
        if name in USED:
            found.setdefault(name, value)
        elif is_filled(value):
            tally.leave_unused(f"{key} of a message")
    return found


def _pair(
    message: Mapping[str, Any], usual: tuple[str, str], *, calls: bool, name: str
) -> tuple[str, str]:
    """Return the keys under which a message says who speaks, and what."""
    for role, content in (usual, *MESSAGE_PAIRS):
        if message.get(role) is not None and (content in message or calls):
            return role, content
    for role, content in MESSAGE_PAIRS:
        if role in message and content in message:
            return role, content
    raise ShapeError(f"{name} must be an object with {usual[0]!r} and {usual[1]!r}")


def _content(value: Any, name: str, calls: str, tally: Tally) -> str:
    """Return what a message says: its text, its parts of text, its tool calls."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = _joined_parts(value, name, tally)
    if calls:
        said = "" if value is None else text(value, name)
        return f"{said}\n\n{calls}" if said.strip() else calls
    return text(value, name)


def _joined_parts(parts: Sequence[Any], name: str, tally: Tally) -> str:
    """Return the parts that are text, one under the other; count the others by their type."""
    found = []
    for part in parts:
        said = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(said, str):
            found.append(text(said, name))
        else:
            kind = part.get("type") if isinstance(part, Mapping) else kind_of(part)
            tally.note(f"a part of a message left out: {str(kind)[:40]}", name)
    return "\n".join(found)


def _calls(message: Mapping[str, Any], tally: Tally) -> str:
    """Return the tool calls of a message as lines of JSON."""
    given = message.get("tool_calls") or message.get("function_call")
    if not given:
        return ""
    calls = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for _ in calls:
        tally.note("a tool call kept as text")
    return "\n".join(_call(call) for call in calls)


def _call(call: Any) -> str:
    if isinstance(call, str):
        return call
    function = call.get("function", call) if isinstance(call, Mapping) else call
    if isinstance(function, Mapping):
        function = {key: _parsed(function[key]) for key in function if function[key] is not None}
    return json.dumps(function, ensure_ascii=False, default=str)


def _parsed(value: Any) -> Any:
    """Return arguments, which are JSON in a string, as what they are."""
    try:
        return json.loads(value) if isinstance(value, str) and value[:1] in "{[" else value
    except (ValueError, RecursionError):
        return value


def _check_weight(message: Mapping[str, Any], speaker: str, tally: Tally) -> None:
    """Leave out a record in which a reply has the weight 0; count other weights as not used."""
    weight = message.get("weight")
    if weight is None or weight == 1:
        return
    if not is_zero(weight):
        tally.leave_unused("weight")
    elif fold(speaker) in ("assistant", "gpt", "bot", "model"):
        raise LeftOutError(WEIGHTLESS)

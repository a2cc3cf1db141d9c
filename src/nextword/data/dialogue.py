"""Documents of text and of turns, and the turns of chat messages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nextword.errors import DataError, unknown

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "tool": "user",  # what a tool answers is for the assistant to read
    "function": "user",
    "observation": "user",
    "function_call": "assistant",
}
TOOL_ROLES = ("tool", "function", "observation", "function_call")

CHAT_TEMPLATE = """\
{%- set text = namespace(system='', turns=0) -%}
{%- for message in messages -%}
  {%- if message['role'] == 'system' and text.turns == 0 -%}
    {%- set text.system = text.system + message['content'] + '\\n\\n' -%}
  {%- elif message['role'] != ('user' if text.turns % 2 == 0 else 'assistant') -%}
    {{- raise_exception('user and assistant must take turns, user first') -}}
  {%- else -%}
    {{- text.system + message['content'] + eos_token -}}
    {%- set text.system = '' -%}
    {%- set text.turns = text.turns + 1 -%}
  {%- endif -%}
{%- endfor -%}
"""  # the reply starts right after the last end token: add_generation_prompt has nothing to add


@dataclass(frozen=True)
class Text:
    """A document of plain text."""

    text: str


@dataclass(frozen=True)
class Dialogue:
    """A document of turns: prompt, reply, prompt, reply …; a prompt has an even index."""

    turns: tuple[str, ...]


Document = Text | Dialogue


def dialogue_from_messages(
    messages: Sequence[Mapping[str, str]],
    *,
    allow_open: bool = False,
    note: Callable[[str], None] | None = None,
) -> Dialogue:
    """Return the dialogue of chat messages with the roles system, user and assistant.

    System messages stand before the first prompt, with a blank line between. Messages of one
    speaker in a row are one turn, with a blank line between; what the assistant says before the
    first prompt is left out.

    Args:
        messages: each with `role` (see ROLES; letter case does not matter) and `content`.
        allow_open: whether the last prompt may be without a reply.
        note: is told of each message that was joined, left out, or a tool's.

    Raises:
        DataError: a message is broken or out of turn; says which, counting from 1.
    """
    note = note or (lambda what: None)
    system = ""
    turns: list[str] = []
    for number, message in enumerate(messages, start=1):
        role, content = _role_and_content(number, message)
        if str(message["role"]).strip().lower() in TOOL_ROLES:
            note("a message of a tool kept as text")
        if role == "system":
            if turns:
                raise DataError(
                    f"message {number} is from system, but it is in the middle of the dialogue; "
                    "system messages stand before the first message from user"
                )
            system += f"{content}\n\n" if content else ""
        elif role == ("assistant" if len(turns) % 2 else "user"):
            turns.append(system + content)
            system = ""
        elif turns:
            turns[-1] += f"\n\n{content}"
            note("a message joined to the one before it, of the same speaker")
        else:
            note("a reply before the first prompt left out")
    _check_last(len(messages), turns, allow_open=allow_open)
    return Dialogue(tuple(turns))


def _role_and_content(number: int, message: Mapping[str, str]) -> tuple[str, str]:
    """A message's role under its first name, and its content."""
    given, content = message.get("role"), message.get("content")
    role = given.strip().lower() if isinstance(given, str) else ""
    if role not in ROLES:
        raise DataError(f"message {number}: {unknown('role', str(given), ROLES)}")
    if not isinstance(content, str):
        raise DataError(
            f"message {number} has the content {str(content)[:80]!r}; it must be a string"
        )
    return ROLES[role], content


def _check_last(n_messages: int, turns: Sequence[str], *, allow_open: bool) -> None:
    """The dialogue has a prompt, and a last reply unless it may be open."""
    if not turns:
        raise DataError(
            f"none of the {n_messages} messages is from user; a dialogue needs at least one prompt"
        )
    if len(turns) % 2 and not allow_open:
        raise DataError(
            f"message {n_messages}, the last one, is from user and has no reply; add a message "
            "from assistant"
        )


__all__ = ["CHAT_TEMPLATE", "Dialogue", "Document", "Text", "dialogue_from_messages"]

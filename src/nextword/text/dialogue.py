"""Documents of text and of turns, and the turns of chat messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nextword.errors import DataError, unknown

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
}

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
    messages: Sequence[Mapping[str, str]], *, allow_open: bool = False
) -> Dialogue:
    """A dialogue from chat messages with the roles system, user and assistant.

    System messages stand before the first prompt, with a blank line between.

    Args:
        messages: each with `role` (also: human, gpt, bot) and `content`.
        allow_open: whether the last prompt may be without a reply.

    Raises:
        DataError: a message is broken or out of turn; says which, counting from 1.
    """
    system = ""
    turns: list[str] = []
    for number, message in enumerate(messages, start=1):
        role, content = _role_and_content(number, message)
        if role == "system" and not turns:
            system += f"{content}\n\n"
            continue
        expected = "assistant" if len(turns) % 2 else "user"
        if role != expected:
            raise DataError(
                f"message {number} is from {role}, but it is the turn of {expected}; a dialogue "
                "starts with user (after system, if any), and user and assistant take turns"
            )
        turns.append(system + content)
        system = ""
    _check_last(len(messages), turns, allow_open=allow_open)
    return Dialogue(tuple(turns))


def _role_and_content(number: int, message: Mapping[str, str]) -> tuple[str, str]:
    """A message's role under its first name, and its content."""
    given, content = message.get("role"), message.get("content")
    if not isinstance(given, str) or given not in ROLES:
        raise DataError(f"message {number}: {unknown('role', str(given), ROLES)}")
    if not isinstance(content, str):
        raise DataError(
            f"message {number} has the content {str(content)[:80]!r}; it must be a string"
        )
    return ROLES[given], content


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

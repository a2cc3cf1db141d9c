"""Chat templates: what turns a conversation into the text that a model reads.

A template is a program in a model's folder, so it is rendered in a sandbox with bounds on time and
memory, see `template_sandbox.py`.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from nextword.errors import DataError
from nextword.tokenizer.template_limits import bounded
from nextword.tokenizer.template_sandbox import Sandbox

MAX_TEMPLATE = 100_000  # characters; those of large families have some 20,000


class ChatTemplate:
    """A compiled chat template; one rendering at a time, others wait."""

    def __init__(self, source: str) -> None:
        """Take a template in Jinja; it is compiled when it is first rendered."""
        self.source = source
        self._sandbox = Sandbox()
        self._lock = threading.Lock()

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        special: Mapping[str, str],
        add_generation_prompt: bool = True,
    ) -> str:
        """Return the text of a conversation.

        Args:
            messages: each with its role and content.
            special: the names that templates use for special tokens, such as eos_token.
            add_generation_prompt: whether the text goes on to where the reply starts.

        Raises:
            DataError: the template refuses the messages, is broken, or exceeds its bounds.
        """
        values = {
            **special,
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "tools": None,
            "documents": None,
        }
        with self._lock:
            try:
                self._sandbox.start()
                return "".join(bounded(self._program.generate(values)))
            except (RecursionError, MemoryError) as error:
                raise DataError(
                    "the chat template needs too much memory or calls itself"
                ) from error
            except DataError:
                raise
            except Exception as error:  # a stranger's program fails in its own ways
                raise DataError(
                    f"the chat template cannot render these messages: {str(error)[:500]}"
                ) from error

    @cached_property
    def _program(self) -> Any:
        if len(self.source) > MAX_TEMPLATE:
            raise DataError(
                f"the chat template has {len(self.source)} characters; at most {MAX_TEMPLATE} "
                "are allowed"
            )
        return self._sandbox.program(self.source)


def render(
    messages: Sequence[Mapping[str, Any]],
    template: str,
    *,
    special: Mapping[str, str],
    add_generation_prompt: bool = True,
) -> str:
    """Return the text that a chat template makes of a conversation; see `ChatTemplate.render`."""
    return ChatTemplate(template).render(
        messages, special=special, add_generation_prompt=add_generation_prompt
    )

"""Chat templates from a stranger, rendered with bounds.

A template is a program in a model's folder. Jinja's sandbox keeps it from files and from Python;
here it also cannot run or grow without end: every loop and call costs a step, and whatever makes
a long string out of short ones is measured first.
"""

import datetime
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nextword.errors import DataError

MAX_TEMPLATE = 200_000  # characters
MAX_RENDERED = 1 << 20  # characters
MAX_STEPS = 200_000  # turns of loops, calls and operations, together
LARGEST_NUMBER = 1 << 63
GROWING = frozenset({"replace", "join", "ljust", "rjust", "center", "zfill", "expandtabs"})
LEFT_OUT = ("format", "indent", "wordwrap", "batch", "slice", "urlize", "xmlattr", "center")


def render(
    messages: Sequence[Mapping[str, Any]],
    template: str,
    *,
    special: Mapping[str, str],
    add_generation_prompt: bool = True,
) -> str:
    """The text that a chat template makes of a conversation.

    Args:
        messages: each with its role and content.
        template: Jinja, with what transformers offers: raise_exception, strftime_now, tojson.
        special: the names that templates use for special tokens, such as eos_token.
        add_generation_prompt: whether the text goes on to where the reply starts.

    Raises:
        DataError: the template refuses the messages, is broken, or exceeds its bounds.
    """
    if len(template) > MAX_TEMPLATE:
        raise DataError(
            f"the chat template has {len(template)} characters; at most {MAX_TEMPLATE} are allowed"
        )
    values = {
        "messages": messages,
        "add_generation_prompt": add_generation_prompt,
        "tools": None,
        "documents": None,
        **special,
    }
    try:
        return "".join(_bounded(_Environment().program(template).generate(values)))
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"the chat template cannot render these messages: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise DataError("the chat template needs too much memory or calls itself") from error


def _bounded(pieces: Iterable[str]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_RENDERED:
            raise SecurityError(f"more than {MAX_RENDERED} characters")
        yield piece


class _Environment(ImmutableSandboxedEnvironment):
    """One rendering: the sandbox, the dialect of transformers, and a budget of steps."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        self._steps = 0
        for name in LEFT_OUT:
            del self.filters[name]
        self.filters["tojson"] = _to_json
        for name, function in self.filters.items():
            self.filters[name] = self._measured(function, growing=name in GROWING)
        self.globals = {
            "range": self._range,
            "dict": dict,
            "namespace": self.globals["namespace"],
            "raise_exception": _refuse,
            "strftime_now": lambda form: datetime.datetime.now().strftime(form),
            "_turns": self._turns,
        }

    def program(self, source: str) -> Any:
        """The template, its loops counted and its `~` measured like `+`."""
        tree = self.parse(source)
        for loop in tree.find_all(nodes.For):
            if loop.recursive:
                raise SecurityError("recursive loops are not allowed")
            loop.iter = nodes.Call(nodes.Name("_turns", "load"), [loop.iter], [], None, None)
        for joined in tree.find_all(nodes.Concat):
            parts = [nodes.Filter(part, "string", [], [], None, None) for part in joined.nodes]
            joined.nodes = [_sum(parts)]
        return self.from_string(tree)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        self._spend()
        owner = getattr(obj, "__self__", None)
        if isinstance(owner, str) and getattr(obj, "__name__", "") in GROWING:
            _check_growth(owner, *args)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self._spend()
        if operator == "%" and isinstance(left, str):
            raise SecurityError("'%' on text is not allowed")
        if operator == "**" and _size(right) > 64:
            raise SecurityError("a power too large")
        if operator == "*" and not (_is_number(left) and _is_number(right)):
            _check_growth(left, right)
        if operator == "+" and not _is_number(left) and _size(left) + _size(right) > MAX_RENDERED:
            raise SecurityError(f"a text of more than {MAX_RENDERED} characters")
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > LARGEST_NUMBER:
            raise SecurityError("a number too large")
        return result

    def wrap_str_format(self, value: Any) -> None:
        if super().wrap_str_format(value) is not None:
            raise SecurityError("str.format is not allowed")

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:  # what blocks and macros are put together with
        return "".join(_bounded(pieces))

    def _spend(self, steps: int = 1) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise SecurityError(f"more than {MAX_STEPS} steps")

    def _turns(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self._spend()
            yield item

    def _range(self, *limits: int) -> range:
        numbers = range(*limits)
        self._spend(len(numbers))
        return numbers

    def _measured(self, function: Callable[..., Any], *, growing: bool) -> Callable[..., Any]:
        """A filter that costs steps by the size of what it is given."""

        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            values = [*args, *kwargs.values()]
            self._spend(1 + sum(_size(value) for value in values if not _is_number(value)) // 1000)
            if growing:
                _check_growth(*values)
            return function(*args, **kwargs)

        return measured


def _sum(parts: Sequence[nodes.Expr]) -> nodes.Expr:
    total = parts[0]
    for part in parts[1:]:
        total = nodes.Add(total, part)
    return total


def _check_growth(*values: Any) -> None:
    """The two largest of `values` may not multiply to more than the text may be long."""
    largest = sorted(map(_size, values))[-2:]
    if len(largest) == 2 and largest[0] * largest[1] > 16 * MAX_RENDERED:
        raise SecurityError("a text that would grow too large")


def _size(value: Any) -> int:
    """How long a text or a list of texts is; a number counts as that many."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(len(item) if isinstance(item, str) else 1 for item in value)
    return abs(int(value)) if _is_number(value) else 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _refuse(message: str) -> NoReturn:
    """What a template calls when it does not accept the messages."""
    raise TemplateError(message)


def _to_json(value: Any, indent: int | None = None, **_: Any) -> str:
    """JSON as transformers writes it: no HTML escapes."""
    return json.dumps(value, ensure_ascii=False, indent=min(indent, 8) if indent else None)

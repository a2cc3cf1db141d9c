"""A Jinja environment for chat templates from strangers, bounded in time and memory.

Jinja's sandbox keeps a template from files and from Python, but not from running or growing without
end. Here every loop turn, call, filter, test, operator and comparison costs a step, and one more
for every UNIT characters that it reads or makes; no value may weigh more than MAX_WEIGHT; and the
CPU time of a rendering is limited. What grows faster than the sum of what it is given (`*`,
`replace`, `join` …) is measured before it is done.

The syntax tree is rewritten, because Jinja calls no hook for loops, comparisons, slices and
literals: each becomes the operand of a filter that the template cannot replace.
"""

import datetime
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NoReturn

import jinja2.filters
import markupsafe
from jinja2 import Environment, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from nextword.tokenizer.template_limits import (
    MAX_WEIGHT,
    bounded,
    check_joined,
    check_product,
    check_replaced,
    check_size,
    is_number,
    weight,
)

MAX_STEPS = 400_000
UNIT = 100  # characters that an operation reads or makes for one step
MAX_SECONDS = 1.0  # CPU time of one rendering
MAX_TAGS, MAX_NODES = 5_000, 20_000  # of a template, and of its syntax tree
MOST_DIGITS, MAX_INDENT = 32, 64  # of `round` and `tojson`
OWN = (Context, nodes.EvalContext, Environment)  # what Jinja itself hands to a filter

LEFT_OUT = (
    "batch", "center", "filesizeformat", "forceescape", "format", "pprint", "random", "slice",
    "striptags", "sum", "urlize", "wordwrap", "xmlattr",
)  # fmt: skip
CONSTANT_TIME = frozenset({  # filters and tests that do not look into what they are given
    "length", "count", "first", "last", "default", "d", "defined", "undefined", "none", "string",
    "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "false",
    "callable", "sameas", "filter", "test",
})  # fmt: skip
TEXT_METHODS = frozenset({
    "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "index",
    "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric",
    "isprintable", "isspace", "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit",
    "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
})  # fmt: skip
METHODS: tuple[tuple[type, frozenset[str]], ...] = (
    (str, TEXT_METHODS),
    (dict, frozenset({"copy", "get", "items", "keys", "values"})),
    (list, frozenset({"copy", "count", "index"})),
    (tuple, frozenset({"count", "index"})),
    (LoopContext, frozenset({"changed", "cycle"})),
)
PADDING = frozenset({"ljust", "rjust", "center", "zfill"})
WIDE_FORMAT = re.compile(r"%[^A-Za-z%]*\d")  # the C library would fill up to that width


class Sandbox(ImmutableSandboxedEnvironment):
    """The dialect of transformers with a budget, which `start` sets back."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing is worked out while the template is compiled
            finalize=_finalize,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )
        self.start()
        for name in LEFT_OUT:
            del self.filters[name]
        self.filters |= {
            "e": _escape, "escape": _escape, "indent": self._indent, "join": self._join,
            "replace": self._replace, "round": _round, "safe": str, "tojson": self._to_json,
        }  # fmt: skip
        tables: tuple[dict[str, Any], ...] = (self.filters, self.tests)
        for table in tables:
            for name, function in table.items():
                table[name] = self._measured(function, reads=name not in CONSTANT_TIME)
        self.filters |= {"_read": self._read, "_made": self.made, "_counted": self._counted}
        self._functions = (self._range, dict, Namespace, _refuse, _strftime_now)
        self.globals = {
            "range": self._range,
            "dict": dict,
            "namespace": Namespace,
            "raise_exception": _refuse,
            "strftime_now": _strftime_now,
        }

    def start(self) -> None:
        """Begin a rendering with a whole budget."""
        self._steps, self._until = 0, time.thread_time() + MAX_SECONDS

    def program(self, source: str) -> Any:
        """Compile a template whose operations are measured."""
        if source.count("{{") + source.count("{%") > MAX_TAGS:
            raise SecurityError(f"more than {MAX_TAGS} tags")
        tree = self.parse(source)
        for count, node in enumerate(tree.find_all(nodes.Node)):
            if count > MAX_NODES:
                raise SecurityError(f"more than {MAX_NODES} parts")
            if isinstance(node, nodes.For) and node.recursive:
                raise SecurityError("recursive loops are not allowed")
        return self.from_string(_Metering().visit(tree))

    def spend(self, steps: int = 1) -> None:
        """Take steps from the budget, and look at the clock now and then."""
        before = self._steps
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise SecurityError(f"more than {MAX_STEPS} steps")
        if before >> 5 != self._steps >> 5 and time.thread_time() > self._until:
            raise SecurityError(f"more than {MAX_SECONDS:g} seconds")

    def made(self, value: Any) -> Any:
        """Measure a new value; the items of an iterator are taken now, not later unmeasured."""
        if isinstance(value, Iterator):
            value = list(self._counted(value))
        self._read(value)
        return value

    def _read(self, value: Any) -> Any:
        """Pay for reading all of a value."""
        self.spend(1 + weight(value) // UNIT)
        return value

    def _counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """Go through what a loop or a filter goes through, a step each."""
        for item in items:
            self.spend()
            yield item

    def shown(self, value: Any) -> str:
        """Return the text of a value."""
        self._read(value)
        text = str(value)
        check_size(len(text))
        return text

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if owner is not None and not any(obj == known for known in self._functions):
            if not any(isinstance(owner, kind) and name in names for kind, names in METHODS):
                raise SecurityError(f"{type(owner).__name__}.{name} is not allowed")
            self._check_method(owner, name, args)
        elif not isinstance(obj, Macro | Undefined) and obj not in self._functions:
            raise SecurityError(f"calling {type(obj).__name__} is not allowed")
        for value in (owner, *args, *kwargs.values()):
            self._read(value)
        return self.made(super().call(context, obj, *args, **kwargs))

    def _check_method(self, owner: Any, name: str, args: tuple[Any, ...]) -> None:
        """Refuse a method of a text whose result, or whose search, would be too long."""
        if not isinstance(owner, str):
            return
        if name in PADDING and args and is_number(args[0]):
            check_size(abs(int(args[0])))
        elif name == "expandtabs":
            check_size(owner.count("\t") * abs(int(args[0] if args else 8)))
        elif name == "replace" and len(args) > 1:
            check_replaced(owner, *args)
        elif name == "join" and args:
            check_joined(owner, args[0])
        check_product(owner, *args)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            raise SecurityError("'%' on text is not allowed")
        if operator == "**" and is_number(right) and abs(right) > 64:
            raise SecurityError("a power too large")
        if not (is_number(left) and is_number(right)):
            sizes = weight(left), weight(right)
            if operator == "*":
                factor = next((abs(int(x)) for x in (left, right) if is_number(x)), 1)
                check_size((max(sizes) + 1) * factor)
            elif sum(sizes) > MAX_WEIGHT:
                raise SecurityError("a value too large")
            self.spend(sum(sizes) // UNIT)
        return self.made(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> None:
        if super().wrap_str_format(value) is not None:
            raise SecurityError("str.format is not allowed")

    def concat(self, pieces: Iterable[str]) -> str:
        """Join what a block or a macro has written."""
        text = "".join(bounded(pieces))
        self.spend(1 + len(text) // UNIT)
        return text

    def _measured(self, function: Callable[..., Any], *, reads: bool) -> Callable[..., Any]:
        """Return a filter or a test that pays for what it is given and what it makes."""

        @wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            if reads:
                values = [arg for arg in (*args, *kwargs.values()) if not isinstance(arg, OWN)]
                for value in values:
                    self._read(value)
                check_product(*values)
            self.spend()
            result = function(*args, **kwargs)
            return self.made(result) if reads else result

        return measured

    def _range(self, *limits: int) -> range:
        numbers = range(*limits)
        self.spend(len(numbers))
        return numbers

    def _replace(self, text: Any, old: Any, new: Any, count: int | None = None) -> str:
        text, old, new = str(text), str(old), str(new)
        check_replaced(text, old, new)
        return str(text).replace(old, new, -1 if count is None else count)

    def _indent(
        self, text: Any, width: int | str = 4, first: bool = False, blank: bool = False
    ) -> str:
        text = str(text)
        step = len(width) if isinstance(width, str) else abs(width)
        check_size(len(text) + (text.count("\n") + 2) * step)
        return str(jinja2.filters.do_indent(text, width, first, blank))

    @pass_context
    def _join(self, context: Context, items: Any, d: str = "", attribute: Any = None) -> str:
        values = list(items)
        if attribute is not None:
            values = list(jinja2.filters.do_map(context, values, attribute=attribute))
        texts = [str(value) for value in values]
        check_joined(str(d), texts)
        return str(d).join(texts)

    def _to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        """JSON as transformers writes it: no HTML escapes."""
        step = len(indent) if isinstance(indent, str) else abs(indent or 0)
        if step > MAX_INDENT:
            raise SecurityError(f"indenting by {step} is not allowed")
        encoder = json.JSONEncoder(
            ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return "".join(bounded(self._counted(encoder.iterencode(value))))


class _Metering(NodeTransformer):
    """Rewrites a syntax tree so that every operation passes a filter that measures it."""

    def get_visitor(self, node: nodes.Node) -> Callable[[nodes.Node], nodes.Node] | None:
        """Return the method that rewrites a kind of node."""
        return getattr(self, f"_{type(node).__name__.lower()}", None)

    def _for(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        return node

    def _compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = _filtered(node.expr, "_read")
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_read")
        return node

    def _concat(self, node: nodes.Concat) -> nodes.Node:
        """Write `a ~ b` as the sum of texts."""
        self.generic_visit(node)
        total: nodes.Expr = _filtered(node.nodes[0], "string")
        for part in node.nodes[1:]:
            total = nodes.Add(total, _filtered(part, "string"))
        return total

    def _getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_made") if isinstance(node.arg, nodes.Slice) else node

    def _tuple(self, node: nodes.Tuple) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_made") if node.ctx == "load" else node

    def _list(self, node: nodes.List | nodes.Dict) -> nodes.Node:
        self.generic_visit(node)
        return _filtered(node, "_made")

    _dict = _list


class _Generation(Extension):
    """The tag with which some templates mark what the model says; it changes no text."""

    tags = {"generation"}  # noqa: RUF012  # as Jinja declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse to the end of the block."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body).set_lineno(line)


def _filtered(node: Any, name: str) -> nodes.Filter:
    """Return an expression with a filter behind it."""
    made = nodes.Filter(node, name, [], [], None, None)
    made.set_lineno(node.lineno)
    made.environment = node.environment
    return made


@pass_context
def _finalize(context: Context, value: Any) -> str:
    """Turn what a template prints into text; Jinja calls it for every `{{ … }}`."""
    environment = context.environment
    assert isinstance(environment, Sandbox)
    return environment.shown(value)


def _escape(value: Any) -> str:
    return str(markupsafe.escape(str(value)))


def _round(value: float, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > MOST_DIGITS:
        raise SecurityError(f"rounding to {precision} digits is not allowed")
    return jinja2.filters.do_round(value, precision, method)


def _strftime_now(form: str) -> str:
    """Return the date and time in the form that a template asks for."""
    if len(form) > 200 or WIDE_FORMAT.search(form):
        raise SecurityError("this form of a date is not allowed")
    return datetime.datetime.now().strftime(form)


def _refuse(message: Any) -> NoReturn:
    """Stop, as a template asks for that does not accept the messages."""
    raise TemplateError(str(message)[:300])

"""Hostile chat templates: each is refused quickly and in little memory."""

import resource
import sys
import time

import pytest

from nextword.errors import NextwordError
from nextword.tokenizer.chat_template import render

LONG = "hello <|end|> \u6f22" * 2000
MESSAGES = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "b" * 20_000}]
GROW = "{%% set n = namespace(s='ab', t=[1]) %%}{%% for i in range(99) %%}%s{%% endfor %%}{{ n.s }}"
SPIN = "{%% set s = messages[0].content %%}{%% for i in range(150000) %%}%s{%% endfor %%}"
BIG = "{% set big = messages[0].content * 30 %}"

ATTACKS = {
    # growth, step by step
    "plus": GROW % "{% set n.s = n.s + n.s %}",
    "tilde": GROW % "{% set n.s = n.s ~ n.s %}",
    "times": GROW % "{% set n.s = n.s * 3 %}",
    "replace": GROW % "{% set n.s = n.s.replace('a', 'aa') %}",
    "replace filter": GROW % "{% set n.s = n.s | replace('b', 'bb') %}",
    "join": GROW % "{% set n.s = [n.s, n.s] | join %}",
    "join method": GROW % "{% set n.s = n.s.join(['x', 'y', 'z']) %}",
    "join by a long text": GROW % "{% set n.s = range(9) | join(n.s) %}",
    "escape": GROW % "{% set n.s = (n.s ~ n.s ~ '<&') | e %}",
    "urlencode": GROW % "{% set n.s = (n.s ~ n.s ~ '%') | urlencode %}",
    "tojson": GROW % "{% set n.s = n.s | tojson | tojson %}",
    "a block": GROW % "{% set x %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = x %}",
    "a macro": "{% macro f(s) %}{{ s }}{{ s }}{% endmacro %}"
    + GROW % "{% set n.s = f(n.s) %}",
    "a call block": "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}"
    + GROW % "{% set x %}{% call f() %}{{ n.s }}{% endcall %}{% endset %}{% set n.s = x %}",
    "a filter block": GROW % "{% set x %}{% filter upper %}{{ n.s }}{{ n.s }}{% endfilter %}"
    "{% endset %}{% set n.s = x %}",
    "indent": GROW % "{% set n.s = (n.s ~ '\n' ~ n.s) | indent(9) %}",
    "nested lists, printed": GROW % "{% set n.t = [n.t, n.t] %}" + "{{ n.t }}",
    "nested dictionaries": GROW % "{% set n.t = {'a': n.t, 'b': n.t} %}" + "{{ n.t | tojson }}",
    "nested tuples, compared": GROW % "{% set n.t = (n.t, n.t) %}{{ n.t == n.t }}",
    "nested namespaces": GROW % "{% set n.t = namespace(a=n.t, b=n.t) %}" + "{{ n.t }}",
    "nested dict()": GROW % "{% set n.t = dict(a=n.t, b=n.t) %}" + "{{ n.t | string }}",
    "lists added": GROW % "{% set n.t = n.t + n.t %}",
    "lists times": "{{ ([1] * 100000 * 100000) | length }}",
    "a namespace in itself": "{% set n = namespace() %}{% set n.n = n %}{{ n }}",
    "numbers": GROW % "{% set n.t = 9 %}{% set n.s = (n.s | length) ** 60 ** 60 %}",
    "a power": "{{ 10 ** 10 ** 10 }}",
    "a product": "{% set n = namespace(s=9) %}{% for i in range(60) %}"
    "{% set n.s = n.s * n.s %}{% endfor %}{{ n.s }}",
    "digits read": "{{ ('9' * 4000) | int }}",
    # one call that would take all memory
    "a long text": "{{ 'a' * 100000000 }}",
    "text times a text": BIG + "{{ big.replace('', big) }}",
    "ljust": "{{ 'a'.ljust(10 ** 10) }}",
    "zfill": "{{ 'a'.zfill(10 ** 10) }}",
    "center": "{{ 'a'.center(10 ** 10) }}",
    "center filter": "{{ 'a' | center(1000000000) }}",
    "expandtabs": "{{ '\t\t'.expandtabs(10 ** 10) }}",
    "translate": BIG + "{{ big.translate({104: big}) }}",
    "format": "{{ '{:>1000000000}'.format(1) }}",
    "format_map": "{{ '{a:>1000000000}'.format_map({'a': 1}) }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "to_bytes": "{{ (1).to_bytes(10 ** 10, 'big') }}",
    "bytes": "{{ 'a'.encode().ljust(10 ** 10) }}",
    "round": "{{ 1.5 | round(1000000000, 'ceil') }}",
    "a date": "{{ strftime_now('%1000000000Y') }}",
    "dates": "{{ strftime_now('%c' * 10000) }}",
    "lipsum": "{{ lipsum(n=1000000) }}",
    "wordwrap": BIG + "{{ big | wordwrap(1, True, 'x' * 100000) }}",
    "indent by far": "{{ 'a\nb' | indent(10 ** 10) }}",
    "tojson indented": "{% set n = namespace(t=['x'] * 50000) %}{% for i in range(300) %}"
    "{% set n.t = [n.t] %}{% endfor %}{{ n.t | tojson(indent=99999) }}",
    "tojson indented far": "{{ messages | tojson(indent=10 ** 10) }}",
    "tojson indented by a text": BIG + "{{ [[[[1]]]] | tojson(indent=big) }}",
    "tojson separated": BIG + "{{ range(50000) | list | tojson(separators=(big, big)) }}",
    "keys joined": BIG + "{% set n = namespace(d={}) %}{% for i in range(200) %}"
    "{% set n.d = dict(n.d, **{'k' ~ i: 1}) %}{% endfor %}{{ big.join(n.d.keys()) }}",
    "views, nested": GROW % "{% set n.t = {'a': n.t, 'b': n.t}.values() %}" + "{{ n.t }}",
    "range": "{{ range(10 ** 12) | list }}",
    "list of a text": BIG + "{{ big | list | length }}",
    "split": BIG + "{{ big.split('l') | length }}{{ (big * 9).split('') }}",
    "sum of lists": "{{ range(100000) | map('list') | sum(start=[]) }}",
    "map of defaults": BIG + "{{ range(9999) | map('string') | map('replace', '1', big) | join }}",
    "fromkeys": "{{ dict.fromkeys(range(10 ** 9)) }}",
    "batch": "{{ [1] | batch(10 ** 10, 'x') | list }}",
    "slice": "{{ [1] | slice(10 ** 10) | list }}",
    # time
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops over a text": "{% for a in messages[0].content %}{% for b in messages[0].content %}"
    "{% endfor %}{% endfor %}",
    "a loop's length": "{% for a in messages[0].content %}{% for b in messages[0].content %}"
    "{{ loop.length }}{% endfor %}{% endfor %}",
    "recursion": "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "a macro that calls itself": "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f('a') }}",
    "a macro, twice each": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(30) }}",
    "in": SPIN % "{{ '' if ('hello' * 4) in s }}",
    "in a list": SPIN % "{{ '' if 'zz' in messages }}",
    "equal": SPIN % "{{ '' if s == s ~ 'x' }}",
    "slices": SPIN % "{% set x = s[1:] %}",
    "slices backwards": SPIN % "{% set x = s[::-1] %}",
    "upper": SPIN % "{% set x = s.upper() %}",
    "strip": SPIN % "{% set x = s.strip(s) %}",
    "trim": SPIN % "{% set x = s | trim(s) %}",
    "rfind": SPIN % "{% set x = s.rfind(s[:16000]) %}",
    "count": SPIN % "{% set x = s.count('l') %}",
    "title": SPIN % "{% set x = s | title %}",
    "reverse": SPIN % "{% set x = s | reverse %}",
    "sort": SPIN % "{% set x = (s | list) | sort %}",
    "unique": SPIN % "{% set x = s | unique | list %}",
    "groupby": SPIN % "{% set x = messages | groupby('content') %}",
    "a test": SPIN % "{% set x = s is eq(s ~ '') %}",
    "select": SPIN % "{% set x = s | select('in', s) | list %}",
    "striptags": SPIN % "{% set x = s | striptags %}",
    "urlize": SPIN % "{% set x = s | urlize %}",
    "a dictionary": SPIN % "{% set x = {s: s} %}",
    "a tuple": SPIN % "{% set x = (messages, messages) %}",
    "a macro's argument": "{% macro f(x) %}{% endmacro %}" + SPIN % "{{ f(messages) }}",
    "loops that rename the counter": "{% macro _counted(x) %}{% endmacro %}"
    "{% set _turns = messages %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    "{% endfor %}",
    "constants": "{{ '" + "a" * 90_000 + "' in '" + "a" * 45_000 + "b" + "a" * 45_000 + "' }}"
    + "{{ 1 // 0 }}",
    # the compiler
    "deep brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "deep lists": "{{ " + "[" * 900 + "1" + "]" * 900 + " }}",
    "a long sum": "{{ " + "+".join(["1"] * 50_000) + " }}",
    "a long concatenation": "{{ " + "~".join(["a"] * 9_000) + " }}",
    "a long chain": "{{ a" + ".b" * 40_000 + " }}",
    "many filters": "{{ a" + "|upper" * 15_000 + " }}",
    "nots": "{{ " + "not " * 20_000 + "a }}",
    "minuses": "{{ " + "-" * 50_000 + "1 }}",
    "ands": "{{ " + "1 and " * 15_000 + "a.b.c }}",
    "many branches": "{% if a %}" + "{% elif b %}" * 4_000 + "{% endif %}{{ a.b.c }}",
    "many arguments": "{{ range(" + "1, " * 15_000 + ") }}",
    "a large dictionary": "{{ {" + "1: 2, " * 9_000 + "}.nothing.at.all }}",
    "an open bracket": "{{ " + "(" * 90_000,
    "an open text": "{{ '" + "\\'" * 40_000,
    "open comments": "{#" * 45_000,
    "deep blocks": "{% if 1 %}" * 300 + "{% endif %}" * 300,
    "deep loops": "{% for a in [1] %}" * 60 + "x" + "{% endfor %}" * 60,
    "many parts": "{{ a }}" * 28_000,
    "many macros": "{% macro a() %}{% endmacro %}" * 7000,
    "too long": "x" * 200_001,
    "half of a name": "{% set n = namespace() %}{{ n._Namespace__attrs.x.y }}",
    # the way out
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "attr": "{{ ('' | attr('__class__')).mro() }}",
    "globals": "{{ raise_exception.__globals__['json'] }}",
    "init": "{{ namespace.__init__.__globals__ }}",
    "self": "{{ self.__init__.__globals__ }}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}{{ os }}",
    "append": "{{ messages.append(1) }}",
    "update": "{{ messages[0].update({'a': 1}) }}",
    "not a function": "{{ messages() }}",
    "broken": "{% if x %}",
    "undefined": "{{ nothing.at.all }}",
    "refuses": "{{ raise_exception('no' * 100000) }}",
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_it_is_refused_in_time(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.thread_time()
    with pytest.raises(NextwordError, match="chat template") as caught:
        render(MESSAGES, ATTACKS[name], special={"eos_token": "<|end|>"})
    assert time.thread_time() - start < 2
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < (
        100 << 10 if sys.platform == "linux" else 100 << 20
    )  # kB there, bytes elsewhere
    assert len(str(caught.value)) < 1000

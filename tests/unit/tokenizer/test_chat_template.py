"""Chat templates from a stranger: what they may do, and that they cannot run away."""

import time

import pytest

from nextword.errors import DataError
from nextword.tokenizer.chat_template import render

SPECIAL = {"eos_token": "<|end|>"}


class TestBounds:
    """A template from a stranger gives up quickly, whatever it tries."""

    @pytest.mark.parametrize(
        "template",
        [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% for a in messages[0].content %}{% for b in messages[0].content %}x"
            "{% for c in messages[0].content %}{% endfor %}{% endfor %}{% endfor %}",
            "{{ 'a' * 100000000 }}",
            "{{ 2000000 * 'a' }}",
            "{% set n = namespace(s='a') %}{% for i in range(60) %}"
            "{% set n.s = n.s ~ n.s %}{% endfor %}",
            "{% set n = namespace(s='a') %}{% for i in range(60) %}"
            "{% set n.s = n.s + n.s %}{% endfor %}",
            "{% set n = namespace(s='a') %}{% for i in range(60) %}"
            "{% set x %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = x %}{% endfor %}",
            "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f('a') }}",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}"
            "{{ f(30) }}",
            "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
            "{{ '%1000000000d' % 1 }}",
            "{{ '{:>1000000000}'.format(1) }}",
            "{{ 'a'.ljust(10 ** 9) }}",
            "{{ 'a' | center(1000000000) }}",
            "{{ ('a' * 10000) | replace('a', 'b' * 10000) }}",
            "{{ ('a' * 10000).replace('a', 'b' * 10000) }}",
            "{{ 10 ** 10 ** 10 }}",
            "{% set n = namespace(s=9) %}{% for i in range(60) %}"
            "{% set n.s = n.s * n.s %}{% endfor %}",
            "{{ ''.__class__.__mro__ }}",
            "{% if x %}",
            "{{ nothing.at.all }}",
            "{{ raise_exception('no') }}",
            "{{ 1 // 0 }}",
            "x" * 200_001,
        ],
    )
    def test_it_is_refused_in_time(self, template: str) -> None:
        messages = [{"role": "user", "content": "hello" * 100}]
        start = time.thread_time()
        with pytest.raises(DataError, match="chat template"):
            render(messages, template, special=SPECIAL)
        assert time.thread_time() - start < 2

    @pytest.mark.parametrize(
        ("template", "expected"),
        [
            ("{{ 'a' ~ 'b' ~ 3 }}", "ab3"),
            ("{{ 1 + 2 * 3 - 2 ** 2 }}{{ 'a' * 3 }}{{ [1] + [2] }}", "3aaa[1, 2]"),
            ("{{ {'a': '<é>'} | tojson }}", '{"a": "<é>"}'),
            (
                "{% for m in messages %}{{ loop.index }}{% if loop.last %}!{% endif %}{% endfor %}",
                "1!",
            ),
            ("{% for m in messages %}{% break %}{% endfor %}{{ tools is none }}", "True"),
            ("{{ messages | map(attribute='content') | join(', ') | upper | trim }}", "HI"),
            ("{{ 'a</think>b'.split('</think>')[-1].strip() }}", "b"),
            ("{% if add_generation_prompt %}\n  <a>{% endif %}\n", "  <a>"),
            ("{{ strftime_now('%%') }}", "%"),
        ],
    )
    def test_what_templates_do_is_allowed(self, template: str, expected: str) -> None:
        messages = [{"role": "user", "content": "hi"}]
        assert render(messages, template, special=SPECIAL) == expected

    def test_output_is_bounded(self) -> None:
        messages = [{"role": "user", "content": "x" * (1 << 20)}]
        with pytest.raises(DataError, match="1048576 characters"):
            render(messages, "{{ messages[0].content }}!", special=SPECIAL)
        assert len(render(messages, "{{ messages[0].content }}", special=SPECIAL)) == 1 << 20

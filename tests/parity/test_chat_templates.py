"""Chat templates in the manner of common families: rendered as by transformers, to the letter."""

from typing import Any

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models

from nextword.errors import DataError
from nextword.tokenizer.chat_template import render

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

LLAMA3 = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Knowledge until: " ~ "then" ~ "\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if message.tool_calls | length != 1 %}
            {{- raise_exception("one call at once") }}
        {%- endif %}
        {{- '{"name": "' + message.tool_calls[0].function.name + '", ' }}
        {{- '"parameters": ' ~ (message.tool_calls[0].function.arguments | tojson) ~ "}" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

QWEN = """\
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if message.role == "user" and ns.last < 0 and message.content is string %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and thought %}
            {{- '<|im_start|>assistant\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
            {{- content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

MISTRAL = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set turns = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
{{- turns | map(attribute='content') | join('|') | upper | replace('A', '-') }}
"""

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}"
    "{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)

ODDS = """\
{%- macro shown(value, depth=0) -%}
  {%- if value is mapping -%}
    {%- for k, item in value | dictsort -%}{{ ' ' * depth }}{{ k }}: {{ shown(item, depth + 1) }}
{% endfor -%}
  {%- elif value is iterable and value is not string -%}[{{ value | map('string') | join(', ') }}]
  {%- else -%}{{ value }}{%- endif -%}
{%- endmacro -%}
{% set tools = [{'name': 'f', 'arguments': {'b': [1, 2.5, none], 'a': 'x<y&"é"'}}] %}
{{ shown(tools[0]) }}{{ tools | tojson(indent=2) }}{{ tools | tojson(separators=(',', ':')) }}
{% for m in messages if m.role == 'user' %}{% if loop.index > 2 %}{% break %}{% endif -%}
{{ loop.index }}/{{ loop.length }} {{ m.content[:3] | capitalize }}{{ m.content[-1] }}
{%- if not loop.last %},{% else %}.{% endif %}{% else %}none{% endfor %}
{{ '%s' if 1 else 2 }}{{ 7 // 2 }}{{ 7 % 4 }}{{ -3 + 2 ** 3 }}{{ 1 / 4 }}{{ 2.567 | round(1) }}
{{ 'a,b'.split(',') }}{{ (1, 2) + (3,) }}{{ {'a': 1}.items() | list }}{{ [3, 1, 2] | sort }}
{{ 'x' in 'axb' and 2 not in [1] and 1 < 2 <= 2 }}{{ none }}{{ undefined_name }}{{ [none, true] }}
{{ ['b', 'a', 'b'] | unique | list }}{{ 'a\nb' | indent(2) }}{{ 'ab' | first }}{{ range(3) | last }}
{% set ns = namespace(a=1) %}{% for m in messages %}{% set ns.found = loop.last %}{% endfor %}
{{ ns.found }}{% filter upper %}loud {{ messages | length }}{% endfilter %}
{%- set block %}kept {{ eos_token }}{% endset %}{{ block }}{{ '<b>' | safe }}{{ '<b>' | e }}
"""

TEMPLATES = {
    "llama3": LLAMA3,
    "qwen": QWEN,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "zephyr": ZEPHYR,
    "chatml": CHATML,
    "marked replies": MARKED,
    "odds and ends": ODDS,
}
USER, ASSISTANT = (
    [
        {"role": "user", "content": text}
        for text in ("  where is\nthe cat? ", "why < & ü 漢?", "ok")
    ],
    [
        {"role": "assistant", "content": text}
        for text in ("<think>\nhm\n</think>\n\non the mat\n", " because {{ it }} slept 🏳️‍🌈")
    ],
)
SYSTEM = {"role": "system", "content": " be kind "}
TALKS = {
    "one prompt": USER[:1],
    "with a reply": [USER[0], ASSISTANT[0]],
    "long": [USER[0], ASSISTANT[0], USER[1], ASSISTANT[1], USER[2]],
    "with a system message": [SYSTEM, USER[0], ASSISTANT[1], USER[1]],
}


@pytest.fixture(scope="module")
def theirs() -> Any:
    """A tokenizer of transformers; only its special tokens matter."""
    transformers = pytest.importorskip("transformers", reason="the oracle is not installed")
    backend = Backend(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL)


@pytest.mark.parametrize("talk", TALKS)
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("reply_starts", [True, False])
def test_the_same_text(theirs: Any, name: str, talk: str, reply_starts: bool) -> None:
    template, messages = TEMPLATES[name], TALKS[talk]

    def ours() -> str:
        return render(messages, template, special=SPECIAL, add_generation_prompt=reply_starts)

    if name == "gemma" and talk == "with a system message":
        with pytest.raises(DataError, match="no system"):
            ours()
        return
    expected = theirs.apply_chat_template(
        messages, chat_template=template, add_generation_prompt=reply_starts, tokenize=False
    )
    assert ours() == expected
    assert len(expected) > 10


def test_a_long_talk_is_within_the_bounds() -> None:
    """500 turns, some 300,000 characters, with the template that looks through them twice."""
    messages = [
        {"role": ("user", "assistant")[n % 2], "content": f"{n} " + "words " * 100}
        for n in range(500)
    ]
    assert len(render(messages, QWEN, special=SPECIAL)) > 300_000

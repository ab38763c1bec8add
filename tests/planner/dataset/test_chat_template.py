"""Chat templates, against transformers' `apply_chat_template`."""

from __future__ import annotations

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from planner.dataset.chat_template import chat_renderer
from planner.errors import InputError
from tests.planner.dataset.tokenizers_made import CHATML

LLAMA_2 = """{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}
{% set system = messages[0]['content'] %}{% else %}{% set turns = messages %}{% set system = false %}{% endif %}
{% for message in turns %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if message['role'] == 'user' %}
{{ bos_token + '[INST] ' + (system if system and loop.first else '') + message['content'].strip() + ' [/INST]' }}
{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}{% endfor %}"""
BLOCKS = """{%- set ns = namespace(count=0) %}
{%- for message in messages %}
    {%- if loop.index0 > 9 %}{% break %}{% endif %}
    {%- set ns.count = ns.count + 1 %}
    {%- if message.role == 'assistant' %}
{% generation %}{{ message.content }}</s>{% endgeneration %}

    {%- elif message.tool_calls is defined %}
{{ message.tool_calls | tojson }}
    {%- else %}
{{ message.content }} & <{{ strftime_now('%Y') | length }}>
    {%- endif %}
{%- endfor %}
{{ ns.count }}{% if tools is none %} none{% endif %}"""
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CHATS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": " Why? "}, {"role": "assistant", "content": "Because."}],
    [{"role": "system", "content": "Be terse."}, {"role": "user", "content": "'Why' <b>?"}],
    [{"role": "tool", "content": "", "tool_calls": [{"name": "é<f>", "arguments": {"a": [1, None]}}]}],
]


@pytest.mark.parametrize("chat", CHATS, ids=["alternating", "system", "calls"])
@pytest.mark.parametrize("template", [CHATML, LLAMA_2, BLOCKS], ids=["chatml", "llama-2", "blocks"])
def test_the_text_is_that_of_transformers(template: str, chat: list[dict[str, Any]]) -> None:
    try:
        rendered: Any = render_jinja_template([chat], chat_template=template, **SPECIAL)[0]
        expected = rendered[0]
    except Exception:
        expected = None
    assert chat_renderer(template, SPECIAL)(chat) == expected


def test_a_chat_may_be_refused() -> None:
    assert chat_renderer(LLAMA_2, SPECIAL)([{"role": "assistant", "content": "a"}]) is None


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{% for n in range(10 ** 9) %}x{% endfor %}",
        "{{ 1 / 0 }}",
    ],
)
def test_templates_stay_in_the_sandbox(template: str) -> None:
    assert chat_renderer(template, SPECIAL)(CHATS[0]) in (None, "")


def test_a_broken_template() -> None:
    with pytest.raises(InputError, match="is no Jinja template"):
        chat_renderer("{% for %}", {})

"""Chat templates, rendered as transformers' `apply_chat_template` renders them, in Jinja's sandbox.

The environment is that of transformers 5.23 (utils/chat_template_utils.py). Rendering here needs no transformers, which
takes seconds to import, and tests hold both to the same text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from planner.dataset.layouts import Message
from planner.errors import InputError


class _Generation(Extension):
    """`{% generation %}`, which marks what the assistant says: its text as it is."""

    tags = {"generation"}  # noqa: RUF012  a class attribute of jinja2's

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def chat_renderer(template: str, special_tokens: Mapping[str, str]) -> Callable[[list[Message]], str | None]:
    """The function from a chat to its text; it gives None for a chat that the template refuses.

    Raises `InputError` for a template that is none.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    functions = cast("dict[str, object]", environment.globals)
    functions |= {"raise_exception": _refuse, "strftime_now": _now}
    environment.filters["tojson"] = _to_json
    try:
        compiled = environment.from_string(template)
    except (jinja2.TemplateError, RecursionError) as error:
        raise InputError(
            f"the tokenizer's chat template is no Jinja template ({' '.join(str(error).split())[:80]}); mend it",
            field="tokenizer",
        ) from None
    constant = {"tools": None, "documents": None, "add_generation_prompt": False, **special_tokens}

    def render(chat: list[Message]) -> str | None:
        try:
            return compiled.render(messages=chat, **constant)
        except Exception:  # whatever a template does with a chat that it was not made for
            return None

    return render


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # jinja2's own filter escapes HTML
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)

"""Text escaped for GitHub-flavoured Markdown, so that it shows as it is and does nothing.

GitHub links mentions, issues and bare addresses, and draws emoji and formulas, wherever they stand in plain text, even
in text whose punctuation is escaped. An empty comment in their middle shows nothing, and leaves them text; a dollar in
an element of its own begins no formula, as GitHub's page 'Writing mathematical expressions' says.
"""

from __future__ import annotations

import html
import re

BREAK = "<!-- -->"

_LINKED = re.compile(
    r"@(?=\w)"  # a mention, an e-mail address
    r"|#(?=\w)"  # an issue
    r"|\bGH-(?=\d)"
    r"|:(?=//)|\bwww(?=\.)|\b(?:mailto|xmpp):"  # an address
    r"|:(?=[\w+-]+:)",  # an emoji
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\$\$|\$`|`\$|\$[^\s$](?:[^$]*[^\s$])?\$(?!\d)")
"""Amounts alone, such as `$3.10 to $4.20`, are none."""

_ACTIVE = re.compile(r"[\\`*\[\]<|~]|&(?=#|\w)|(?<![^\W_])_|_(?![^\W_])")
"""Punctuation that has a meaning inside a line; `_` has none between letters."""

_BEGINS_BLOCK = re.compile(r"(\d{1,9})?((?(1)[.)](?=\s|$)|(?:[-+](?=[\s-]|$)|[#>])))")
"""What, at the beginning of a line, makes it more than a paragraph; a list's number is apart."""


def has_formula(line: str) -> bool:
    """Whether GitHub could take part of a line of text for a formula."""
    return bool(_FORMULA.search(line))


def escaped(text: str, *, formula: bool = False) -> str:
    """Text inside a line; `formula`: the line could hold one, so no dollar of it may be its delimiter."""
    parts = [_ACTIVE.sub(r"\\\g<0>", part) for part in _LINKED.sub("\\g<0>\0", text).split("\0")]
    return _dollars_apart(BREAK.join(parts), formula)


def escaped_alt(text: str) -> str:
    """Text that an image has instead of itself, in which nothing is linked or drawn."""
    return _ACTIVE.sub(r"\\\g<0>", text)


def escaped_html(text: str) -> str:
    """Text inside an HTML element of a Markdown document, such as a summary."""
    parts = [html.escape(part, quote=False) for part in _LINKED.sub("\\g<0>\0", text).split("\0")]
    return _dollars_apart(BREAK.join(parts), has_formula(text))


def _dollars_apart(text: str, formula: bool) -> str:
    return text.replace("$", "<span>$</span>") if formula else text


def begun(line: str) -> str:
    """An escaped line that begins no heading, list, quotation or rule."""
    return _BEGINS_BLOCK.sub(r"\1\\\2", line, count=1) if _BEGINS_BLOCK.match(line) else line


def heading(line: str) -> str:
    """An escaped line whose last hashes are part of a heading's text."""
    bare = line.rstrip("#")
    return bare + "\\#" * (len(line) - len(bare))


def code_span(text: str) -> str:
    """Code in a line."""
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text[:1] == "`" or text[-1:] == "`" or (text.strip() and text[:1] == text[-1:] == " ") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def code_block(text: str, language: str) -> str:
    """Lines of code between fences longer than any in them."""
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{re.sub(r'[^A-Za-z0-9_+-]', '', language)}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)

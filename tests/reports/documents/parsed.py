"""Markdown as another's CommonMark parser reads it, with GitHub's tables and strikethrough."""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])

OWN_ELEMENTS = {"<!-- -->", "<span>", "</span>", "<strong>", "</strong>", "<code>", "</code>"}
OWN_MARKS = {"text", "text_special", "code_inline", "strong_open", "strong_close", "link_open", "link_close"}

# what GitHub makes a link or a picture of in text: its help pages on mentions, references, autolinks, emoji, formulas
ACTIVE = re.compile(
    r"@[a-z0-9]|#[0-9]|\bGH-[0-9]|https?://|ftp://|www\.|[\w.+-]+@[\w-]+\.|:[a-z0-9_+-]+:|\$\S[^$]*\$|\$\$",
    re.IGNORECASE,
)


def tokens(text: str) -> list[Token]:
    """The tokens of a document."""
    return PARSER.parse(text)


def inlines(text: str) -> list[Token]:
    """The tokens that hold its lines: paragraphs, headings, cells."""
    return [token for token in tokens(text) if token.type == "inline"]


def said(line: Token) -> str:
    """What a reader sees of a line; fails where it holds an element that is not the writer's own."""
    return "".join(_said(child) for child in line.children or ())


def _said(child: Token) -> str:
    if child.type == "html_inline":
        assert child.content in OWN_ELEMENTS
        return ""
    assert child.type in {
        "text",
        "text_special",
        "code_inline",
        "strong_open",
        "strong_close",
        "link_open",
        "link_close",
    }
    return child.content


def texts(line: Token) -> Iterator[str]:
    """The runs of text that GitHub looks for links in: not code, not inside a link, each ended by an element."""
    linked, run = 0, ""
    for child in line.children or ():
        linked += (child.type == "link_open") - (child.type == "link_close")
        if child.type in ("text", "text_special") and not linked:
            run += child.content
        else:
            yield run
            run = ""
    yield run

"""What a document is made of. All text in it is plain: each writer escapes it for what it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.charts.chart import Chart


@dataclass(frozen=True, slots=True)
class Code:
    """Text in a line, as it is typed: a command, a field."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Text in a line that matters most."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """Text in a line that leads to an http(s) address; any other address is written as text alone."""

    text: str
    url: str


Words = str | Code | Strong | Link | Sequence["str | Code | Strong | Link"]
"""A line of text: plain, or in pieces."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A few sentences."""

    words: Words


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list, in which order says nothing; `numbered`: in which it does."""

    items: tuple[Words, ...]
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under a head; the first `left` columns are text, the others figures."""

    head: tuple[str, ...]
    rows: tuple[tuple[Words, ...], ...]
    left: int = 1
    total: bool = False
    """Whether the last row adds up the others."""


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Lines as they are typed or written to a file."""

    text: str
    language: str = ""
    """`bash`, `yaml`, or empty."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart, and in words what it shows, for who does not see it."""

    chart: Chart
    alt: str


@dataclass(frozen=True, slots=True)
class Folded:
    """What is shown only when asked for, under a summary of one line."""

    summary: str
    blocks: tuple[Block, ...]


Block = Paragraph | Bullets | Table | CodeBlock | Picture | Folded


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    lead: tuple[Block, ...]
    """Before the first heading: the answer."""
    sections: tuple[Section, ...]

"""Documents as GitHub-flavoured Markdown that reads well raw, and is safe in a pull request's comment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote

from reports.charts.chart import StackedBars
from reports.charts.in_text import in_text
from reports.charts.text import letters, visible, visible_lines
from reports.documents.blocks import (
    Block,
    Bullets,
    Code,
    CodeBlock,
    Document,
    Folded,
    Link,
    Paragraph,
    Picture,
    Section,
    Strong,
    Table,
    Words,
)
from reports.documents.github import BREAK, begun, code_block, escaped_alt, escaped_html, heading
from reports.documents.markdown_lines import line

_WIDE = 100
"""Columns up to which the cells of a table are padded to stand under each other."""


def markdown(document: Document, picture: Callable[[Picture], str | None]) -> str:
    """The document as text that ends in a newline.

    `picture` gives the path of a drawn chart, relative to the document's, or None where there is no file: then the
    words for it are written, and stacked bars are drawn in letters.
    """
    parts = [f"# {heading(line(document.title))}", *_blocks(document.lead, picture)]
    for section in document.sections:
        parts += _section(section, picture)
    return "\n\n".join(parts) + "\n"


def _section(section: Section, picture: Callable[[Picture], str | None]) -> list[str]:
    return [f"## {heading(line(section.title))}", *_blocks(section.blocks, picture)]


def _blocks(blocks: Iterable[Block], picture: Callable[[Picture], str | None]) -> list[str]:
    parts: list[str] = []
    listed = False
    for block in blocks:
        written = _block(block, picture)
        if listed and isinstance(block, Bullets):
            parts.append(BREAK)  # or two lists would be one
        listed = isinstance(block, Bullets)
        parts += [part for part in written if part]
    return parts


def _block(block: Block, picture: Callable[[Picture], str | None]) -> list[str]:
    match block:
        case Paragraph():
            return [begun(line(block.words))]
        case Bullets():
            marks = (f"{number}." if block.numbered else "-" for number in range(1, len(block.items) + 1))
            items = (f"{mark} {begun(line(item))}" for mark, item in zip(marks, block.items, strict=True))
            return ["\n".join(items)]
        case Table():
            return [_table(block)]
        case CodeBlock():
            return [code_block(visible_lines(block.text).removesuffix("\n"), block.language)]
        case Picture():
            return _picture(block, picture(block))
        case Folded():
            summary = escaped_html(visible(block.summary).strip())
            opening = f"<details>\n<summary>{summary}</summary>"
            return [opening, *_blocks(block.blocks, picture), "</details>"]


def _picture(block: Picture, path: str | None) -> list[str]:
    if path is not None:
        return [f"![{escaped_alt(visible(block.alt).strip())}]({quote(path)})"]
    parts = [begun(line(block.alt))]
    if isinstance(block.chart, StackedBars):
        parts.append(code_block(in_text(block.chart), ""))
    return parts


def _table(table: Table) -> str:
    if not table.head:
        return ""
    rows = [[line(cell, in_table=True) for cell in cells] for cells in (table.head, *_rows(table))]
    widths = [max(map(letters, column)) for column in zip(*rows, strict=True)]
    if sum(widths) + 3 * len(widths) + 1 > _WIDE:
        widths = [0] * len(widths)
    to_left = [column < table.left for column in range(len(table.head))]
    rule = list(map(_rule, widths, to_left))
    lines = [list(map(_padded, cells, widths, to_left)) for cells in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (lines[0], rule, *lines[1:]))


def _rows(table: Table) -> list[tuple[Words, ...]]:
    """The rows, of which one that adds up the others is strong."""
    rows = list(table.rows)
    if table.total and rows:
        rows[-1] = tuple(_emphasized(cell) for cell in rows[-1])
    return rows


def _emphasized(words: Words) -> Words:
    if isinstance(words, str):
        return Strong(words)
    if isinstance(words, Code | Strong | Link):
        return words
    return [Strong(piece) if isinstance(piece, str) else piece for piece in words]


def _rule(width: int, left: bool) -> str:
    return "-" * max(3, width) if left else "-" * (max(3, width) - 1) + ":"


def _padded(cell: str, width: int, left: bool) -> str:
    """The cell with spaces to the width of its column, which no rule is narrower than."""
    space = " " * (max(3, width) - letters(cell)) if width else ""
    return cell + space if left else space + cell

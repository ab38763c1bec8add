"""Documents as one self-contained HTML page: it asks for nothing over the network, and forbids itself to."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from reports.charts import data
from reports.charts.draw import draw
from reports.charts.text import visible, visible_lines
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
    Strong,
    Table,
    Words,
)
from reports.documents.inline_svg import inline_svg
from reports.documents.lines import pieces

_HERE = Path(__file__).parent


def html(document: Document) -> str:
    """The document as a page with its charts inside, which can be asked, sorted, folded, printed and walked by keys."""
    style, script = (_HERE / "page.css").read_text("utf-8"), (_HERE / "page.js").read_text("utf-8")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    title = _text(document.title)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="generator" content="lora-plan">',
            f"<title>{title}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#report">Skip to the report</a>',
            '<main id="report" tabindex="-1">',
            f"<h1>{title}</h1>",
            *_Page().body(document),
            "</main>",
            '<div id="tip" aria-hidden="true" hidden></div>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


class _Page:
    """Counts charts and knows the ids of headings, so that no two are alike."""

    def __init__(self) -> None:
        self.charts = 0
        self.ids = {"report", "tip"}

    def body(self, document: Document) -> list[str]:
        lines = self.blocks(document.lead)
        for section in document.sections:
            lines += ["<section>", f'<h2 id="{self.id_of(section.title)}">{_text(section.title)}</h2>']
            lines += [*self.blocks(section.blocks), "</section>"]
        return lines

    def id_of(self, title: str) -> str:
        """An id of lower-case letters, digits and hyphens."""
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60] or "section"
        name, number = slug, 1
        while name in self.ids:
            number += 1
            name = f"{slug}-{number}"
        self.ids.add(name)
        return name

    def blocks(self, blocks: Iterable[Block]) -> list[str]:
        return [line for block in blocks for line in self.block(block)]

    def block(self, block: Block) -> list[str]:
        match block:
            case Paragraph():
                return [f"<p>{_line(block.words)}</p>"]
            case Bullets():
                tag = "ol" if block.numbered else "ul"
                return [f"<{tag}>", *(f"<li>{_line(item)}</li>" for item in block.items), f"</{tag}>"]
            case Table():
                return _table(block)
            case CodeBlock():
                return [f'<pre class="wide"><code>{escape(visible_lines(block.text))}</code></pre>']
            case Picture():
                return self.picture(block)
            case Folded():
                summary = f"<summary>{_text(block.summary)}</summary>"
                return ["<details>", summary, *self.blocks(block.blocks), "</details>"]

    def picture(self, block: Picture) -> list[str]:
        """The chart, and its figures as a table that is folded."""
        self.charts += 1
        chart, label = block.chart, visible(block.alt)
        spoken = {name: visible(words) for name, words in data.spoken(chart).items()}
        # no heading's id has an underscore
        drawn = inline_svg(draw(chart, "svg"), f"chart_{self.charts}-", label, spoken)
        head, rows = data.table(chart)
        return [
            f'<figure class="chart" data-kind="{type(chart).__name__}">',
            f'<div class="wide">{drawn}</div>',
            "<details>",
            "<summary>The figures of this chart</summary>",
            *_table(Table(head, rows)),
            "</details>",
            "</figure>",
        ]


def _table(table: Table) -> list[str]:
    """In an element that can scroll; the row that adds up the others stays below when they are sorted."""
    rows, last = (table.rows[:-1], table.rows[-1:]) if table.total else (table.rows, ())
    head = "".join(
        f'<th scope="col"{_side(column, table)}>{_text(name)}</th>' for column, name in enumerate(table.head)
    )
    return [
        '<div class="wide">',
        "<table>",
        f"<thead><tr>{''.join(head)}</tr></thead>",
        "<tbody>",
        *(_row(row, table) for row in rows),
        "</tbody>",
        *(f"<tfoot>{_row(row, table)}</tfoot>" for row in last),
        "</table>",
        "</div>",
    ]


def _row(cells: tuple[Words, ...], table: Table) -> str:
    return f"<tr>{''.join(_cell(cell, column, table) for column, cell in enumerate(cells))}</tr>"


def _cell(words: Words, column: int, table: Table) -> str:
    if column == 0 and table.left:
        return f'<th scope="row">{_line(words)}</th>'
    return f"<td{_side(column, table)}>{_line(words)}</td>"


def _side(column: int, table: Table) -> str:
    return "" if column < table.left else ' class="figure"'


def _line(words: Words) -> str:
    return "".join(map(_piece, pieces(words))).strip()


def _piece(piece: str | Code | Strong | Link) -> str:
    match piece:
        case str():
            return escape(piece)
        case Code(text):
            return f"<code>{escape(text)}</code>"
        case Strong(text):
            return f"<strong>{escape(text)}</strong>"
        case Link(text, url):
            return f'<a href="{escape(url)}" rel="noopener noreferrer">{escape(text)}</a>'


def _text(text: str) -> str:
    return escape(visible(text).strip())


def _hash(text: str) -> str:
    """The source that a content security policy lets through: this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

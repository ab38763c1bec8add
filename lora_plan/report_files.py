"""A report's files: the document and its pictures, all of them written or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from lora_plan.own_files import as_bytes, check_own, write_own, write_together
from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from reports.cost_report.document import MARK
from reports.documents.blocks import Document, Picture

HTML_MARK = '<meta name="generator" content="lora-plan">'
"""In the head of every page of ours."""

FIELD = "output"

Kind = Literal["svg", "png"]


def draw_ahead(document: Document, kind: Kind) -> None:
    """Draw the pictures that are known already, which `draw` remembers."""
    from reports.charts.draw import draw

    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Picture):
                draw(block.chart, kind)


def check_output(path: Path, *, as_html: bool, force: bool) -> None:
    """Raise `InputError` where the report cannot be written, or would take the place of what is not a report."""
    check_own(path, HTML_MARK if as_html else MARK, field=FIELD, force=force)


def write_html(document: Document, path: Path) -> None:
    """Write the report as one page. Raises `InputError`."""
    from reports.documents.html import html

    write_own(path, html(document), field=FIELD)


def write_markdown(document: Document, path: Path, kind: Kind, *, force: bool) -> None:
    """Write the report, and its pictures beside it: `report.md` has `report-memory.svg`.

    A picture's file that exists is written over where the report that was there before refers to it; a device or a pipe
    has no pictures beside it. Raises `InputError` for any other picture, and for what cannot be written.
    """
    if path.exists() and not path.is_file():
        write_own(path, markdown_text(document, lambda _: None), field=FIELD)
        return
    from reports.charts.draw import draw

    before = _text(path)
    pictures: dict[Path, bytes] = {}

    def drawn(picture: Picture) -> str:
        file = path.with_name(f"{path.stem}-{picture.chart.name}.{kind}")
        if file.is_dir() or (file.exists() and not force and file.name not in before):
            raise InputError(
                f"{shown_path(file)} exists and is no picture of this report; remove it, name another report with "
                "--output, or write over it with --force",
                field=FIELD,
            )
        pictures[file] = draw(picture.chart, kind)
        return file.name

    text = markdown_text(document, drawn)
    write_together({path: as_bytes(text), **pictures}, field=FIELD)


def markdown_text(document: Document, picture: Callable[[Picture], str | None]) -> str:
    """The report as Markdown, with the line that tells it from what is not ours."""
    from reports.documents.markdown import markdown

    return f"{MARK}\n\n{markdown(document, picture)}"


def _text(path: Path) -> str:
    """What the report that is there says."""
    try:
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    except OSError:
        return ""

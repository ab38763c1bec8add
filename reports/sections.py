"""What every view has: sections with a blank line between, and lists of sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.page import Page


def joined(sections: Iterable[list[str]]) -> list[str]:
    """The lines of the sections that have any, a blank one between two sections."""
    lines: list[str] = []
    for section in filter(None, sections):
        lines += ["", *section] if lines else section
    return lines


def list_section(title: str, sentences: Sequence[str], page: Page) -> list[str]:
    """Sentences under a heading; nothing for none."""
    lines = [line for sentence in sentences for line in page.wrap(sentence, first="  - ")]
    return [page.heading(title), *lines] if lines else []

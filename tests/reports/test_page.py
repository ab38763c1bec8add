"""What a page takes from its stream and the environment."""

from __future__ import annotations

import io

from reports.page import Page, page_of


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)

    def isatty(self) -> bool:
        return True


def test_a_pipe_has_80_columns_and_no_colour() -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert page_of(pipe, {}) == Page(width=80, colour=False, unicode=True)
    assert page_of(pipe, {"COLUMNS": "60"}).width == 60


def test_a_terminal_has_colour_unless_told_otherwise() -> None:
    assert page_of(Terminal(), {"TERM": "xterm-256color"}).colour
    assert not page_of(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).colour
    assert page_of(Terminal(), {"TERM": "xterm", "NO_COLOR": ""}).colour
    assert not page_of(Terminal(), {"TERM": "dumb"}).colour


def test_columns_are_kept_within_reason() -> None:
    assert page_of(Terminal(), {"COLUMNS": "300"}).width == 100
    assert page_of(Terminal(), {"COLUMNS": "3"}).width == 40
    for nonsense in ("", "wide", "-1", "0", "9" * 5000, "²"):
        assert 40 <= page_of(io.TextIOWrapper(io.BytesIO()), {"COLUMNS": nonsense}).width <= 100


def test_ascii_where_the_encoding_has_no_more() -> None:
    page = page_of(Terminal("ascii"), {})
    assert not page.unicode
    assert page.finish(["4 × 2 – █▓·│"]) == "4 x 2 - #%.|\n"
    assert page_of(Terminal("utf-8"), {}).finish(["4 × 2"]) == "4 × 2\n"

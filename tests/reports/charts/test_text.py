"""Text made fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.charts.text import letters, shortened, visible, visible_lines, wrapped


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Llama-3.1 8B · 模型", "Llama-3.1 8B · 模型"),
        ("two\n lines\tof\u00a0it\u3000all", "two lines of it all"),
        ("a\x00b\x1b\u200b\u202ec\ud800", "a\ufffdb\ufffd\ufffd\ufffdc\ufffd"),
    ],
)
def test_what_no_eye_can_see_is_shown_to_be_there(text: str, seen: str) -> None:
    assert visible(text) == seen


def test_lines_keep_their_spaces() -> None:
    assert visible_lines("a:\r\n  b\tc\x00\n") == "a:\n  b\tc\ufffd\n"


def test_wide_letters_and_marks() -> None:
    assert [letters(text) for text in ("abc", "模型", "e\u0301")] == [3, 4, 1]


@pytest.mark.parametrize(
    ("text", "room", "short"),
    [
        ("abc", 3, "abc"),
        ("abcdefgh", 5, "abc…h"),
        ("ab cd ef", 5, "ab…f"),
        ("  a  b ", 9, "a b"),
        ("模型模型模型", 9, "模型模…型"),
    ],
)
def test_long_text_loses_its_middle(text: str, room: int, short: str) -> None:
    assert shortened(text, room) == short


@given(st.text(), st.integers(4, 30))
def test_there_is_room_for_what_is_left(text: str, room: int) -> None:
    assert letters(shortened(text, room)) <= room
    lines = wrapped(text, room, 3).split("\n")
    assert len(lines) <= 3 and all(letters(line) <= room for line in lines)


def test_lines_are_broken_between_words() -> None:
    assert wrapped("first backward block", 9) == "first\nbackward\nblock"

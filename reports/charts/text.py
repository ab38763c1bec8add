"""Text from outside, made fit to be shown: what an eye can see, on one line, no longer than there is room."""

from __future__ import annotations

import re
import textwrap
import unicodedata

HIDDEN = "\N{REPLACEMENT CHARACTER}"
"""Stands where a character was that no eye can see: a control, a zero-width or a direction mark, half a pair."""


def visible(text: str) -> str:
    """One line of text that holds no character unseen: each run of white space is one space, others are `HIDDEN`."""
    return "".join(_seen(character) for character in re.sub(r"\s+", " ", text))


def visible_lines(text: str) -> str:
    """The same for text of several lines, as it is typed: white space stays, a tab and `\\n` among it."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(character if character in "\n\t" else _seen(character) for character in lines)


def _seen(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return " "
    return character if character.isprintable() else HIDDEN


def letters(text: str) -> int:
    """Columns that text takes in a fixed-width font: two for a wide letter, none for a mark upon one."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """Visible text of at most `room` letters; an ellipsis stands for what is left out of its middle."""
    text = visible(text).strip()
    if letters(text) <= room:
        return text
    start, end = _cut(text, (room - 1) - (room - 1) // 3), _cut(text[::-1], (room - 1) // 3)[::-1]
    return f"{start.rstrip()}…{end.lstrip()}"


def _cut(text: str, room: int) -> str:
    """As much of a text's beginning as has room."""
    used = 0
    for place, character in enumerate(text):
        used += _columns(character)
        if used > room:
            return text[:place]
    return text


def wrapped(text: str, room: int, lines: int = 3) -> str:
    """Visible text in at most so many `lines` of `room` letters, broken between words where that can be."""
    text = shortened(text, room * lines)
    broken = textwrap.wrap(text, room)
    if len(broken) > lines or any(letters(line) > room for line in broken):
        return shortened(text, room)
    return "\n".join(broken)

"""Rows of JSON: a value a line, or one list of values."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

import orjson

from planner.dataset.source import LONGEST_ROW, Rows, Source, Unreadable, text_lines
from planner.errors import InputError
from planner.units import MIB

NOT_JSON = Unreadable("not JSON")
NOT_UTF8 = Unreadable("not text in UTF-8")

_READ = MIB
"""Bytes that are read of a list at a time."""


def json_rows(source: Source) -> Rows:
    """The values of a JSON-lines file, or of the list that a JSON file holds, whatever the file is called."""
    listed = source.head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
    if listed:
        return Rows(_items(source), "row", source.share)
    return Rows(_values(source), "line", source.share)


def _values(source: Source) -> Iterator[tuple[int, object]]:
    loads = orjson.loads
    for number, line in text_lines(source):
        if isinstance(line, Unreadable):
            yield number, line
            continue
        try:
            value: object = loads(line)
        except ValueError:
            if not line.isspace():
                yield number, _why(line)
            continue
        yield number, value


def _why(line: bytes) -> Unreadable:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return NOT_UTF8
    return NOT_JSON


def _items(source: Source) -> Iterator[tuple[int, object]]:
    """The items of one list, of which no more than one is held besides what was read ahead."""
    text = _Text(source)
    text.skip("[")
    number = 0
    while text.next() != "]":
        number += 1
        if number > 1:
            text.skip(",")
        text.next()
        yield number, text.value(number)
    text.skip("]")
    if text.next():
        raise InputError(f"{source.name} goes on behind the end of its list; remove the rest", field="dataset")


class _Text:
    """The text of a JSON file, with a place in it."""

    def __init__(self, source: Source) -> None:
        self._name = source.name
        self._file = source.file
        self._characters = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """The next character that is no blank, which it goes to; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read():
                return ""

    def skip(self, character: str) -> None:
        """Go past `character`, which has to come next."""
        found = self.next()
        if found != character:
            what = f"has {found!r} where {character!r} should be" if found else "ends within its list"
            raise InputError(f"{self._name} {what}; check that it is complete and is JSON", field="dataset")
        self._at += 1

    def value(self, number: int) -> object:
        """The value that starts here."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                if self._read(len(self._text) - self._at):
                    continue
                what = "nests too deeply" if isinstance(error, RecursionError) else "is not JSON, or has no end"
                raise InputError(f"{self._name} row {number} {what}; mend it", field="dataset") from None
            # a number may go on in what is not read yet
            if end == len(self._text) and self._read():
                continue
            self._at = end
            return value

    def _read(self, at_least: int = 0) -> bool:
        """Read on, twice as far each time for one value. Whether there was more."""
        if self._ended or len(self._text) - self._at > LONGEST_ROW:
            return False
        data = self._file.read(max(_READ, at_least))
        self._ended = not data
        try:
            more = self._characters.decode(data, self._ended)
        except UnicodeDecodeError:
            raise InputError(f"{self._name} is not text in UTF-8; save it as UTF-8", field="dataset") from None
        self._text, self._at = self._text[self._at :] + more, 0
        return not self._ended

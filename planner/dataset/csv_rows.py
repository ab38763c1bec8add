"""Rows of a CSV file with a header: quoted cells may hold commas, quotes and ends of lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from planner.catalogue.spelling import shown
from planner.dataset.json_rows import NOT_UTF8
from planner.dataset.source import LONGEST_ROW, Rows, Source, Unreadable, text_lines
from planner.errors import InputError
from planner.units import MIB

DELIMITERS = ",;\t"
"""What may stand between cells; the one that the header has most of does."""


def csv_rows(source: Source) -> Rows:
    """The rows under the header as mappings of its names to cells. Their numbers are those of their first lines."""
    return Rows(_rows(source), "line", source.share)


class _Lines:
    """The lines of a file as text, which remember that one was not UTF-8."""

    def __init__(self, source: Source) -> None:
        self._lines = text_lines(source)
        self._source = source
        self.damaged = False

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            if isinstance(line, Unreadable):
                raise InputError(f"{self._source.name} line {number} is {line.reason}; mend it", field="dataset")
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError:
                self.damaged = True
                yield line.decode("utf-8", errors="replace")


def _rows(source: Source) -> Iterator[tuple[int, object]]:
    lines = _Lines(source)
    first = source.head.removeprefix(b"\xef\xbb\xbf").splitlines()[0].decode("utf-8", errors="replace")
    reader = csv.reader(iter(lines), delimiter=max(DELIMITERS, key=first.count), strict=True)
    limit = csv.field_size_limit(LONGEST_ROW)
    try:
        header = [name.strip() for name in next(reader)]
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, _why(source, number, error)
                continue
            if not cells:
                continue
            if lines.damaged:
                lines.damaged = False
                yield number, NOT_UTF8
            elif len(cells) != len(header):
                yield number, Unreadable(f"{'more' if len(cells) > len(header) else 'fewer'} cells than the header")
            else:
                yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(
            f"{source.name} line 1 is no header of a CSV file ({shown(str(error))}); mend it", field="dataset"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _why(source: Source, number: int, error: csv.Error) -> Unreadable:
    text = str(error)
    if "field limit" in text:
        raise InputError(
            f"{source.name} line {number} begins a cell of more than {LONGEST_ROW // MIB} MiB; close its quote",
            field="dataset",
        )
    return Unreadable("a quote that is not closed" if "end of data" in text else "not CSV")

"""Records in files to share: CSV in the schema of the corpus, with the records themselves in one more column."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from planner.catalogue.files import read_bytes
from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from planner.units import MIB
from profiler.corpus.record import COLUMNS
from profiler.records.corpus import COLUMN, cells, published
from profiler.records.record import Record, read_text
from profiler.whole_file import whole_file

LARGEST_FILE = 64 * MIB
"""Bytes of a file to import, the limit of a corpus too: thousands of records."""

_NO_CELLS: list[str] = []
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What spreadsheets take the beginning of a formula for (OWASP, CSV Injection)."""


def write_export(path: Path, records: Sequence[Record], *, force: bool = False) -> int:
    """Write records to a file that `lora-plan records import` and `validate --corpus` read; gives its rows.

    It appears whole or not at all. Raises `InputError` where there is such a file, unless `force`, and where it cannot
    be written.
    """
    name = shown_path(path)
    try:
        folder, there, known = path.is_dir(), path.is_file(), path.parent.is_dir() and "\0" not in str(path)
    except OSError as error:
        raise _not_written(name, error) from None
    if folder:
        raise InputError(f"{name} is a folder; name a file in it", field="file")
    if there and not force:
        raise InputError(f"{name} is there already; name another file, or replace it with --force", field="file")
    if not known:
        raise InputError(f"{name} is in no folder that there is; make it first, or name another file", field="file")
    rows = [(record, row) for record in records for row in published(record)]
    try:
        with whole_file(path) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow((*COLUMNS, COLUMN))
            for record, row in rows:
                writer.writerow([*map(_safe, cells(row).values()), record.text])
    except OSError as error:
        raise _not_written(name, error) from None
    return len(rows)


def read_export(path: Path) -> list[Record]:
    """The records in a file that `write_export` wrote, each once, whatever else its columns say.

    Raises `InputError` naming the line that holds something else.
    """
    name = shown_path(path)
    # strict: a quote that is never closed is an error, and not a cell as long as the file
    reader = csv.reader(io.StringIO(_text(path, name), newline=""), strict=True)
    found: dict[str, Record] = {}
    line = 1
    try:
        header = [column.strip() for column in next(reader, _NO_CELLS)]
        if header.count(COLUMN) != 1:
            raise InputError(
                f"{name} has no column {COLUMN}, so it holds no records of lora-plan; score its runs with "
                "`lora-plan validate --corpus`",
                field="file",
            )
        index = header.index(COLUMN)
        line = reader.line_num + 1
        for row in reader:
            if any(row):
                record = _record(row, index, f"{name}, line {line}")
                found[record.id] = record
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {line} is not CSV ({error}); correct the quotes there", field="file") from None
    if not found:
        raise InputError(f"{name} holds no records; export some to it", field="file")
    return list(found.values())


def _record(row: Sequence[str], index: int, where: str) -> Record:
    text = row[index].strip() if index < len(row) else ""
    if not text:
        raise InputError(f"{where} has nothing in {COLUMN}; leave out the row", field="file")
    return read_text(text, f"{where}: {COLUMN}")


def _text(path: Path, name: str) -> str:
    content = read_bytes(path, field="file", largest=LARGEST_FILE)
    if content.startswith(b"SQLite format 3\0"):
        raise InputError(
            f"{name} is a database; export its records first, with LORA_PLAN_RECORDS set to it", field="file"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not text in UTF-8; give what `records export` wrote", field="file") from None


def _not_written(name: str, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{name} cannot be written ({reason}); name another file", field="file")


def _safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_RISKY) else cell

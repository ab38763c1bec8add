"""Opening a data file that may be anything: of another format, compressed, cut off, binary, or no file at all."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from planner.units import MIB

LONGEST_ROW = 64 * MIB
"""Bytes of one row of text, some 16 million tokens, as many as `sequence_length` may have. More is not read."""

_HEAD = 64 * 1024
"""Bytes that tell what a file is."""

_FORMATS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_OTHER = {
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; decompress it first",
    b"BZh": "is compressed with bzip2; decompress it first",
    b"\xfd7zXZ\x00": "is compressed with xz; decompress it first",
    b"PK\x03\x04": "is a zip archive; unpack it and give one of its files",
    b"\xff\xfe": "is text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "is text in UTF-16; save it as UTF-8",
    b"ARROW1": "is an Arrow file; save it as Parquet or JSON lines",
}
"""First bytes of files that are data, but of no kind that is read."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that cannot be read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a data file, read as they are asked for."""

    rows: Iterator[tuple[int, object]]
    """(number from 1, the row as a JSON value or `Unreadable`). Blank lines are numbered and left out."""

    unit: str
    """What is numbered: `line` or `row`."""

    share: Callable[[], float]
    """How much of the file has been read, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Source:
    """A data file, open at its first byte."""

    name: str
    """Its path as errors show it, in quotes."""

    format: str
    """json, csv or parquet."""

    file: BinaryIO
    """Its content, decompressed."""

    head: bytes
    """The first bytes of that, up to 64 KiB."""

    share: Callable[[], float]
    """How much of the file has been read, from 0 to 1."""


@contextmanager
def opened(path: str | Path) -> Generator[Source]:
    """The data file at `path`. Raises `InputError`, in one sentence, for whatever can be wrong with a file.

    While it is open, errors of reading it (a disk, or compressed data that is damaged or ends early) are `InputError`
    too. Pipes and devices are refused before they are opened, so that reading never waits.
    """
    name = shown_path(path)
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a folder; give one of the files in it", field="dataset")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name} is not a regular file; give the path of one", field="dataset")
        if not status.st_size:
            raise InputError(f"{name} is empty; give a file with an example in each line", field="dataset")
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", MIB) as raw:
            yield _source(Path(path), name, raw, status.st_size)
    except InputError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "ends early" if isinstance(error, EOFError) else "is damaged"
        raise InputError(f"{name} is compressed with gzip and {what}; get it again", field="dataset") from None
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the path", field="dataset") from None
    except PermissionError:
        raise InputError(f"{name} may not be read; check its permissions", field="dataset") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{name} cannot be read ({reason}); check the path", field="dataset") from None


def _source(path: Path, name: str, raw: BinaryIO, size: int) -> Source:
    compressed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    file = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if compressed else raw
    head = _read_head(file)
    if compressed:
        raw.seek(0)
        file = io.BufferedReader(gzip.GzipFile(fileobj=raw), MIB)
    else:
        file.seek(0)

    def share() -> float:
        return min(1.0, raw.tell() / size)

    return Source(name, _format(path, name, head, compressed), file, head, share)


def _read_head(file: BinaryIO) -> bytes:
    head = b""
    while len(head) < _HEAD and (more := file.read(_HEAD - len(head))):
        head += more
    return head


def _format(path: Path, name: str, head: bytes, compressed: bool) -> str:
    if head.startswith(b"PAR1"):
        if compressed:
            raise InputError(f"{name} is a Parquet file within gzip; decompress it first", field="dataset")
        return "parquet"
    for start, what in _OTHER.items():
        if head.startswith(start):
            raise InputError(f"{name} {what}", field="dataset")
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    kind = _FORMATS.get(suffix)
    if kind == "parquet":
        raise InputError(f"{name} does not begin as a Parquet file does; get it again", field="dataset")
    if b"\0" in head:
        raise InputError(
            f"{name} is binary; give a .jsonl, .json, .csv or .parquet file, text in UTF-8", field="dataset"
        )
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        raise InputError(f"{name} holds nothing but blanks; give a file with an example in each line", field="dataset")
    if kind is None:
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
            return "json"
        raise InputError(
            f"{name} is of no known kind; give a file that ends in .jsonl, .json, .csv or .parquet", field="dataset"
        )
    return kind


def text_lines(source: Source) -> Iterator[tuple[int, bytes | Unreadable]]:
    """(number from 1, line with its end) of a text file, without a byte order mark.

    Raises `InputError` where the very first line has no end within `LONGEST_ROW`: that is no file of lines.
    A later one of that kind is passed over.
    """
    number = 0
    while line := source.file.readline(LONGEST_ROW):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) < LONGEST_ROW - 3 or line.endswith(b"\n"):
            yield number, line
            continue
        too_long = f"more than {LONGEST_ROW // MIB} MiB long"
        if number == 1:
            raise InputError(f"{source.name} line 1 is {too_long}; give a file with an example a line", field="dataset")
        while (rest := source.file.readline(MIB)) and not rest.endswith(b"\n"):
            pass
        yield number, Unreadable(too_long)

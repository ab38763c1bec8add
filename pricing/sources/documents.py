"""Reading the documents that sources answer with: JSON and CSV, of the documented shape or not."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import cast

from pricing.http import RefreshError

_NO_CELLS: list[str] = []


def parse_json(data: bytes, origin: str) -> dict[str, object]:
    """The JSON object in `data`, with decimal numbers; `RefreshError` about `origin` otherwise."""
    try:
        # NaN is no JSON but some write it: the one row that has it is left out, not all of them
        value: object = json.loads(data.decode("utf-8-sig"), parse_float=Decimal, parse_constant=Decimal)
    except UnicodeDecodeError:
        raise RefreshError(f"{origin} answers with something other than UTF-8; try again later") from None
    except RecursionError:
        raise RefreshError(f"{origin} answers with JSON of too many levels; look for a newer release") from None
    except ValueError as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "too long a number"
        raise RefreshError(f"{origin} answers with what is not whole JSON ({where}); try again later") from None
    if not isinstance(value, dict):
        raise RefreshError(f"{origin} answers with JSON of another shape than documented; look for a newer release")
    return cast("dict[str, object]", value)


def mapping(value: object) -> dict[str, object]:
    """A JSON object; an empty one for everything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def objects(value: object, origin: str) -> list[dict[str, object]]:
    """A JSON list, with an empty object for each item that is none; `RefreshError` where it is no list."""
    if not isinstance(value, list):
        raise RefreshError(f"{origin} answers with JSON of another shape than documented; look for a newer release")
    return [mapping(item) for item in cast("list[object]", value)]


def text(value: object) -> str:
    """A JSON string, trimmed; an empty one for everything else."""
    return value.strip() if isinstance(value, str) else ""


def parse_csv(data: bytes, origin: str, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """The rows of a CSV document that has at least `columns`; `RefreshError` about `origin` otherwise.

    What a row lacks is empty, what it has beyond the header is dropped.
    """
    try:
        lines = io.StringIO(data.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError:
        raise RefreshError(f"{origin} is not text in UTF-8; fetch it again") from None
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, _NO_CELLS)]
        missing = [name for name in columns if name not in header]
        if missing:
            raise RefreshError(
                f"{origin} lacks the column {missing[0]} that its documentation has; look for a newer release"
            )
        if len(set(header)) != len(header):
            raise RefreshError(f"{origin} has a column twice; look for a newer release")
        for row in reader:
            if row:
                yield dict(zip(header, row + [""] * (len(header) - len(row)), strict=False))
    except csv.Error as error:
        raise RefreshError(f"{origin} is not whole CSV (line {reader.line_num}: {error}); fetch it again") from None

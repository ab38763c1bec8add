"""`Record`: one published run, and the CSV files that hold them. README.md says what each column means."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from planner.catalogue.files import read_bytes
from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from planner.run.wording import shown
from planner.units import MIB

CORPUS = Path(__file__).parent / "runs.csv"
"""The project's own records."""

_NO_CELLS: list[str] = []

CPU = "cpu"
"""In the column of cards: steps on a CPU, of which live tensors are counted and no workspaces of cuBLAS."""

LARGEST_FILE = 64 * MIB
"""Bytes that a corpus may have; 473 runs take 0.2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run as its source published it; None: the source does not say."""

    id: str
    source: str = ""
    model: str = ""
    """Hugging Face id."""
    method: str = ""
    rank: int | None = None
    alpha: float | None = None
    dropout: float | None = None
    target_modules: tuple[str, ...] | None = None
    adapter_dtype: str | None = None
    base_dtype: str | None = None
    quantization: str | None = None
    kbit_upcast: bool | None = None
    mixed_precision: str | None = None
    optimizer: str | None = None
    micro_batch_size: int | None = None
    grad_accum: int | None = None
    seq_len: int | None = None
    """Tokens of the longest sample in a batch."""
    seq_note: str = ""
    gradient_checkpointing: bool | None = None
    attention: str | None = None
    kernels: str | None = None
    n_gpus: int | None = None
    strategy: str | None = None
    gpu: str | None = None
    level: str | None = None
    """What `peak_bytes` counts, in the source's own word where it is no level of the planner's."""
    peak_bytes: int | None = None
    end_bytes: int | None = None
    process_peak_mib: float | None = None
    tokens_per_s_per_gpu: float | None = None
    step_s: float | None = None
    torch: str | None = None
    transformers: str | None = None
    peft: str | None = None
    bitsandbytes: str | None = None
    published: str = ""
    grade: str = ""
    note: str = ""
    adapter_config: dict[str, object] | None = None
    """The `adapter_config.json` that was published with the run."""
    trainer: str | None = None
    """Overrides what is known of the source."""


COLUMNS = tuple(field.name for field in fields(Record))
"""The columns of a corpus file, in order."""

IDENTITY = ("id", "model", "method")
"""A file with none of these columns is no corpus."""


def read_records(path: Path) -> list[Record]:
    """The records of a CSV file: commas, a header, UTF-8; in any order, other columns ignored.

    Blank cells, columns that are missing and cells cut off at the end of a line are unknown; so is `nan` in a column
    of text, which is how data frames write a blank. A record without an id is called by its line. Raises `InputError`
    naming the line, the column and the value at fault.
    """
    name = shown_path(path)
    # strict: a quote that is never closed is an error, and not a cell as long as the file
    reader = csv.reader(io.StringIO(_text(path, name), newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, _NO_CELLS)]
        columns = _columns(header, name)
        records: list[Record] = []
        line = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                records.append(_record(row, columns, len(header), f"{name}, line {line}", line))
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num} is not CSV ({error}); correct the quotes there") from None
    if not records:
        raise InputError(f"{name} holds no runs; write one a line below the header")
    return records


def _text(path: Path, name: str) -> str:
    content = read_bytes(path, field="corpus", largest=LARGEST_FILE)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not text in UTF-8; give a CSV file") from None
    if "\0" in text:
        raise InputError(f"{name} is not text: it has NUL characters; give a CSV file")
    return text


def _columns(header: list[str], name: str) -> list[tuple[int, str, Parser]]:
    if not any(header):
        raise InputError(f"{name} is empty; give a CSV file whose first line names the columns")
    found = [(index, column, PARSERS[column]) for index, column in enumerate(header) if column in PARSERS]
    names = [column for _, column, _ in found]
    twice = next((column for column in names if names.count(column) > 1), None)
    if twice is not None:
        raise InputError(f"{name} has the column {twice} twice; remove one")
    if not set(names) & set(IDENTITY):
        separated = any(mark in header[0] for mark in "\t;|")
        found_instead = "no commas" if separated else f"{shown(header[0])} first"
        raise InputError(
            f"{name} has none of the columns {', '.join(IDENTITY)} in its first line, but {found_instead}; "
            "give a CSV file whose first line names the columns"
        )
    return found


def _record(row: list[str], columns: list[tuple[int, str, Parser]], width: int, where: str, line: int) -> Record:
    if len(row) > width and any(cell.strip() for cell in row[width:]):
        raise InputError(f"{where} has {len(row)} cells under {width} columns; put a cell that holds a comma in quotes")
    values: dict[str, Any] = {"id": f"line {line}"}
    for index, column, parse in columns:
        cell = row[index].strip() if index < len(row) else ""
        if not cell:
            continue
        try:
            value = parse(cell)
        except ValueError as error:
            raise InputError(
                f"{where}: {column} must be {error}, not {shown(cell)}; correct it, or leave the cell blank"
            ) from None
        if value is not None:
            values[column] = value
    return Record(**values)


Parser = Callable[[str], object]
"""Reads a cell that is not blank. Raises `ValueError` with what is allowed."""

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_LARGEST = 1e18


def _text_cell(cell: str) -> str | None:
    return None if cell.lower() == "nan" else cell


def _number(cell: str, allowed: str) -> float:
    value = float(cell) if _NUMBER.fullmatch(cell) else float("nan")
    if not abs(value) < _LARGEST:
        raise ValueError(allowed)
    return value


def _count(cell: str) -> int:
    allowed = "a whole number above 0"
    value = _number(cell, allowed)
    if value < 1 or not value.is_integer():
        raise ValueError(allowed)
    return int(value)


def _bytes(cell: str) -> int:
    # converted from a printed figure, a size may have a fraction
    value = round(_number(cell, "a number of bytes above 0"))
    if value < 1:
        raise ValueError("a number of bytes above 0")
    return value


def _positive(cell: str) -> float:
    value = _number(cell, "a number above 0")
    if value <= 0:
        raise ValueError("a number above 0")
    return value


def _not_negative(cell: str) -> float:
    value = _number(cell, "a number of at least 0")
    if value < 0:
        raise ValueError("a number of at least 0")
    return value


def _flag(cell: str) -> bool:
    word = cell.lower()
    if word not in ("true", "false", "1", "0", "yes", "no", "1.0", "0.0"):
        raise ValueError("True or False")
    return word in ("true", "1", "yes", "1.0")


def _names(cell: str) -> tuple[str, ...] | None:
    return tuple(cell.split()) if _text_cell(cell) else None


def _json(cell: str) -> dict[str, object]:
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("the JSON object of an adapter_config.json")
    return cast("dict[str, object]", value)


PARSERS: dict[str, Parser] = dict.fromkeys(COLUMNS, cast("Parser", _text_cell)) | {
    "rank": _count,
    "alpha": _positive,
    "dropout": _not_negative,
    "target_modules": _names,
    "kbit_upcast": _flag,
    "micro_batch_size": _count,
    "grad_accum": _count,
    "seq_len": _count,
    "gradient_checkpointing": _flag,
    "n_gpus": _count,
    "peak_bytes": _bytes,
    "end_bytes": _bytes,
    "process_peak_mib": _positive,
    "tokens_per_s_per_gpu": _positive,
    "step_s": _positive,
    "adapter_config": _json,
}
"""Column -> how its cells are read."""

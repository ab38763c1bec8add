"""Rows of a Parquet file, of which only the columns that may hold text are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from planner.catalogue.spelling import shown
from planner.dataset.source import Rows, Source
from planner.errors import InputError
from planner.units import MIB

BATCH = 1000
"""Rows that are made Python values at a time."""


def parquet_rows(source: Source, fields: Sequence[str]) -> Rows:
    """The rows, with those of `fields` that are columns. Raises `InputError` where none is, or a file is damaged."""
    arrow_error, parquet_file = _pyarrow(source.name)
    damaged = (arrow_error, OSError, MemoryError, UnicodeDecodeError)
    try:
        # a buffer streams a column's pages; without it a whole row group is held
        file = parquet_file(source.file, buffer_size=MIB, pre_buffer=False)
        names: list[str] = file.schema_arrow.names
        total: int = file.metadata.num_rows
    except damaged as error:
        raise _damaged(source, 0, error) from None
    columns = [name for name in dict.fromkeys(names) if name in fields]
    if not columns:
        have = ", ".join(f"'{shown(name, 40)}'" for name in names[:12]) or "none"
        raise InputError(
            f"{source.name} has no column {', '.join(fields)}; name one of its own ({have}) with --text-field",
            field="text_field",
        )
    read = 0

    def rows() -> Iterator[tuple[int, object]]:
        nonlocal read
        try:
            for batch in file.iter_batches(batch_size=BATCH, columns=columns):
                for row in batch.to_pylist():
                    read += 1
                    yield read, row
        except damaged as error:
            raise _damaged(source, read + 1, error) from None

    return Rows(rows(), "row", lambda: read / total if total else 1.0)


def _pyarrow(name: str) -> tuple[type[Exception], Any]:
    """The base of pyarrow's errors, and its `ParquetFile`; it has no types of its own."""
    try:
        import pyarrow  # pyright: ignore[reportMissingTypeStubs]
        from pyarrow import parquet  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise InputError(
            f"{name} is a Parquet file, which needs pyarrow; install it with `pip install pyarrow`", field="dataset"
        ) from None
    untyped: Any = pyarrow
    return untyped.ArrowException, parquet.ParquetFile


def _damaged(source: Source, row: int, error: BaseException) -> InputError:
    where = f" at row {row}" if row else ""
    reason = shown(" ".join(str(error).split()).rstrip("."), 100) or type(error).__name__
    return InputError(f"{source.name} is a damaged Parquet file{where} ({reason}); get it again", field="dataset")

"""Writing a sweep to a CSV or Parquet file, a sheet at a time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from pricing.sheet_file import safe_cell

if TYPE_CHECKING:
    from pricing.sweep import Column, Rows

FORMATS = (".csv", ".parquet")


def check_path(text: str, *, force: bool) -> Path:
    """The path to write to. Raises `InputError` where it cannot be; where there is a file, unless `force`."""
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"--output {shown_path(text)} must end in {' or '.join(FORMATS)}", field="output")
    try:
        folder, there, known = path.is_dir(), path.exists(), path.parent.is_dir() and "\0" not in text
    except OSError:
        folder, there, known = False, False, False
    if folder:
        raise InputError(f"--output {shown_path(text)} is a folder; name a file in it", field="output")
    if there and not force:
        raise InputError(
            f"--output {shown_path(text)} is there already; name another file, or replace it with --force",
            field="output",
        )
    if not known:
        raise InputError(
            f"--output {shown_path(text)} is in no folder that there is; make it first, or name another file",
            field="output",
        )
    if path.suffix.lower() == ".parquet":
        _parquet()
    return path


def write_sweep(path: Path, sheets: Iterable[Rows]) -> int:
    """Write all sheets, as one file that appears when it is whole; gives the number of rows.

    Cells that a spreadsheet would take for a formula are written with an apostrophe before them in CSV. Raises
    `InputError` where the file cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:80]}-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from None
    unfinished = Path(name)
    try:
        write = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        rows = write(unfinished, sheets)
        unfinished.chmod(0o666 & ~_umask())
        unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    return rows


def _write_csv(path: Path, sheets: Iterable[Rows]) -> int:
    import pandas as pd

    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        for rows in sheets:
            frame = pd.DataFrame({name: _safe(values) for name, values in rows.items()})
            frame.to_csv(file, index=False, header=count == 0, lineterminator="\n")
            count += len(frame)
    return count


def _safe(values: Column) -> Column:
    if values.dtype != np.dtype(object):
        return values
    known = {value: safe_cell(value) if isinstance(value, str) else value for value in set(values.tolist())}
    return np.array([known[value] for value in values.tolist()], dtype=object)


def _write_parquet(path: Path, sheets: Iterable[Rows]) -> int:
    import pandas as pd

    pyarrow, parquet = _parquet()
    count, writer = 0, None
    try:
        for rows in sheets:
            table = pyarrow.Table.from_pandas(pd.DataFrame(rows), schema=_schema(rows, pyarrow), preserve_index=False)
            writer = writer or parquet.ParquetWriter(path, table.schema)
            writer.write_table(table)
            count += len(table)
    finally:
        if writer is not None:
            writer.close()
    return count


def _schema(rows: Rows, pyarrow: Any) -> Any:
    """Columns of text are text even where a sheet has no value of one."""
    return pyarrow.schema(
        [
            (name, pyarrow.string() if values.dtype == object else pyarrow.from_numpy_dtype(values.dtype))
            for name, values in rows.items()
        ]
    )


def _parquet() -> tuple[Any, Any]:
    try:
        # by name: it has no types
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(
            "writing Parquet needs pyarrow, which is not installed; install it, or write a .csv file", field="output"
        ) from None


def _umask() -> int:
    # there is no way to read it but to set it
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(f"{shown_path(path)} cannot be written ({reason}); name another file", field="output")

"""The user's records: one SQLite file, which several processes may write to and any of them may be killed at any time.

The journal is SQLite's rollback journal and not a write-ahead log: between writes there is one file, which can be
copied, and it works on network file systems, where a write-ahead log cannot (https://sqlite.org/wal.html). Records are
written one at a time, minutes apart.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from planner.places import records_file
from profiler.measure.types import Measurement
from profiler.records.record import LONGEST, NotStored, Record, read_text, record_of

SCHEMA = 1
"""`PRAGMA user_version` of the file."""

APPLICATION = 0x4C50524D
"""`PRAGMA application_id` of the file: "LPRM"."""

WAIT_S = 30.0
"""How long one writer waits for another, each of which takes milliseconds."""

# typeof: tables that are STRICT need SQLite 3.37, and there are systems with Python 3.11 on 3.34
_TABLE = f"""
CREATE TABLE records (
    id TEXT PRIMARY KEY NOT NULL CHECK (typeof(id) = 'text' AND length(id) = 64),
    key TEXT NOT NULL CHECK (typeof(key) = 'text' AND length(key) = 64),
    run_key TEXT NOT NULL CHECK (typeof(run_key) = 'text' AND length(run_key) = 64),
    at TEXT NOT NULL CHECK (typeof(at) = 'text' AND length(at) = 20),
    document TEXT NOT NULL CHECK (typeof(document) = 'text' AND length(document) BETWEEN 2 AND {LONGEST})
) WITHOUT ROWID
"""
_STATEMENTS = (
    _TABLE,
    "CREATE INDEX records_of_a_run ON records (run_key, at)",
    "CREATE TRIGGER no_record_changes BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records do not change'); END",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {SCHEMA}",
)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file of records holds."""

    records: tuple[Record, ...]
    """The newest first."""
    unreadable: tuple[str, ...]
    """Why others cannot be read, a sentence each: of a newer lora-plan, or damaged."""


def keep(measurement: Measurement) -> Record:
    """Store a measurement that was made just now among the user's records. Raises as `record_of` and `add` do."""
    record = record_of(measurement)
    add([record])
    return record


def add(records: Sequence[Record], path: Path | None = None) -> int:
    """Store records in a file (by default the user's), all of them or none; gives how many it did not have yet.

    Once this returns they are on the disk. Makes the file, and its folder, where there is none. Raises `NotStored`
    where they cannot be written (a full disk, a folder that may not be written to, a file that stays busy), and
    `InputError` for a file that holds something else; what was in it stays.
    """
    path = path or records_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotStored(_not_written(path, "its folder is a file")) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise NotStored(_not_written(path, reason)) from None
    with _opened(path, "rwc") as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            if not _schema(connection, path):
                for statement in _STATEMENTS:
                    connection.execute(statement)
            before = connection.total_changes
            connection.executemany(
                "INSERT INTO records (id, key, run_key, at, document) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING",
                [(record.id, record.key, record.run_key, record.when, record.text) for record in records],
            )
            stored = connection.total_changes - before
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if _is_damaged(error):
                raise
            raise NotStored(_not_written(path, str(error))) from None
    return stored


def read(path: Path | None = None, run_key: str | None = None, newest: int | None = None) -> Stored:
    """The records of a file (by default the user's); with `run_key`, those of one run of one model; with `newest`, at
    most so many.

    Nothing where there is no such file. Raises `InputError` where it cannot be read, or is no file of records.
    """
    path = path or records_file()
    if not _is_file(path):
        return Stored((), ())
    where, values = ("", ()) if run_key is None else (" WHERE run_key = ?", (run_key,))
    with _opened(path, "rw") as connection:
        # one look at the file: another process may be making it
        connection.execute("BEGIN")
        if not _schema(connection, path):
            return Stored((), ())
        rows = connection.execute(
            f"SELECT id, document FROM records{where} ORDER BY at DESC, id LIMIT ?",
            (*values, -1 if newest is None else newest),
        ).fetchall()
    records: list[Record] = []
    unreadable: list[str] = []
    for identity, text in rows:
        origin = f"record {identity[:8]} in {shown_path(path)}"
        try:
            records.append(read_text(text, origin))
        except InputError as error:
            unreadable.append(str(error))
    return Stored(tuple(records), tuple(unreadable))


@contextmanager
def _opened(path: Path, mode: str) -> Generator[sqlite3.Connection]:
    """A connection; errors of SQLite within become sentences.

    mode: also to read, rw: a writer that was killed may have left a journal, which the next reader has to roll back.
    SQLite itself reads only where the file may not be written to.
    """
    try:
        if "\0" in str(path):  # which would end the name for SQLite
            raise ValueError("embedded null byte")
        uri = f"{path.absolute().as_uri()}?mode={mode}"
        with closing(sqlite3.connect(uri, uri=True, timeout=WAIT_S, isolation_level=None)) as connection:
            # after the commit of a new record no crash of the machine takes it back
            connection.execute("PRAGMA synchronous = EXTRA")
            connection.execute("PRAGMA trusted_schema = OFF")
            yield connection
    except (sqlite3.Error, ValueError) as error:
        if isinstance(error, InputError):
            raise
        if isinstance(error, sqlite3.Error) and _is_damaged(error):
            raise InputError(
                f"{shown_path(path)} is no file of records, or it is damaged ({error}); move it elsewhere, or set "
                "LORA_PLAN_RECORDS to another file",
                field="records",
            ) from None
        if mode == "rwc":
            raise NotStored(_not_written(path, str(error))) from None
        raise InputError(
            f"the records in {shown_path(path)} cannot be read ({error}); check its permissions, or set "
            "LORA_PLAN_RECORDS to another file",
            field="records",
        ) from None


def _schema(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the file; 0 for one that has nothing in it yet. Raises `InputError` for a file of another kind."""
    application, version, tables = (
        connection.execute(statement).fetchone()[0]
        for statement in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    if not (application or version or tables):
        return 0
    if application != APPLICATION:
        raise InputError(
            f"{shown_path(path)} is a database of another program; set LORA_PLAN_RECORDS to another file",
            field="records",
        )
    if version > SCHEMA:
        raise InputError(
            f"{shown_path(path)} was written by a newer lora-plan (version {version:,} of its layout, and {SCHEMA} is "
            "known here); update lora-plan, or set LORA_PLAN_RECORDS to another file",
            field="records",
        )
    return version


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_damaged(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.OperationalError | sqlite3.IntegrityError | sqlite3.InternalError
    )


def _not_written(path: Path, reason: str) -> str:
    return (
        f"{shown_path(path)} cannot be written ({reason.lower()}), and what it held before is unchanged; free it or "
        "the disk, or set LORA_PLAN_RECORDS to another file"
    )

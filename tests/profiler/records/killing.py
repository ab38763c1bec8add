"""Writers that are killed while others write and read: `python -m tests.profiler.records.killing FOLDER TRIALS`.

In a process of its own, because it forks. Prints what went wrong, a line each, and at last what was seen.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from profiler.records.record import Record
from profiler.records.store import add, read
from tests.profiler.records.measurements import DAY, measured, recorded

WRITERS = 2
EACH = 10
LONGEST_S = 0.008
"""A writer is killed within so many seconds of a record that it reported; one more takes about half of that."""


def main(folder: Path, trials: int) -> None:
    chance = random.Random(6)
    measurement = measured()
    records = [recorded(measurement, DAY + timedelta(seconds=second)) for second in range(WRITERS * EACH)]
    left_journals = stored = 0
    for trial in range(trials):
        path = folder / f"{trial}.sqlite"
        writers = [_forked(_writer(path, records[number::WRITERS])) for number in range(WRITERS)]
        reader, said = _forked(_reader(path))
        reported = b""
        for pid, pipe in writers:
            wanted = chance.randrange(EACH)
            while reported.count(b"\n") < wanted and (more := os.read(pipe, 65_536)):
                reported += more
            time.sleep(chance.uniform(0, LONGEST_S))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        left_journals += Path(f"{path}-journal").exists()
        os.kill(reader, signal.SIGTERM)
        _, status = os.waitpid(reader, 0)
        if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGTERM):
            _say(f"trial {trial}: the reader failed: {_rest(said)}")
        for _, pipe in writers:
            reported += _rest(pipe)
        ids = set(reported.decode().split("\n")[:-1])
        problem = _problem(path, ids, {record.id for record in records}, records[0])
        if problem:
            _say(f"trial {trial}: {problem}")
        stored += len(ids)
    _say(f"{trials} trials, {stored} stored, {left_journals} journals left")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _problem(path: Path, reported: set[str], possible: set[str], another: Record) -> str:
    found = read(path)
    here = {record.id for record in found.records}
    if found.unreadable:
        return f"half-written: {found.unreadable[0]}"
    if not reported <= here:
        return f"{len(reported - here)} records are lost"
    if not here <= possible:
        return "records that nobody wrote"
    # whoever comes next can write
    if add([another], path) != (another.id not in here):
        return "it cannot be written to any more"
    with closing(sqlite3.connect(path)) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    return "" if sound == "ok" else f"integrity: {sound}"


def _writer(path: Path, records: Sequence[Record]) -> Callable[[int], None]:
    def write(pipe: int) -> None:
        for record in records:
            add([record], path)
            os.write(pipe, f"{record.id}\n".encode())
        signal.pause()

    return write


def _reader(path: Path) -> Callable[[int], None]:
    def look(pipe: int) -> None:
        seen = 0
        while True:
            found = read(path)
            if found.unreadable or len(found.records) < seen:
                os.write(pipe, f"{found.unreadable} {len(found.records)} after {seen}\n".encode())
                os._exit(1)
            seen = len(found.records)

    return look


def _forked(body: Callable[[int], None]) -> tuple[int, int]:
    """The process that runs `body`, and the pipe that it reports on."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write_end)
        return pid, read_end
    try:
        body(write_end)
    except Exception as error:
        os.write(write_end, f"{type(error).__name__}: {error}\n".encode())
    os._exit(1)


def _rest(pipe: int) -> bytes:
    with os.fdopen(pipe, "rb") as file:
        return file.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

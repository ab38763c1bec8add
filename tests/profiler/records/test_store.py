"""One file of records: nothing that was stored is lost, whatever happens to those who write and read."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError
from profiler.records import store
from profiler.records.record import NotStored, Record
from profiler.records.store import Stored, add, read
from tests.profiler.records.measurements import DAY, RUN, measured, recorded

ROOT = Path(__file__).parents[3]
CONNECT = sqlite3.connect


def later(seconds: int) -> Record:
    return recorded(when=DAY + timedelta(seconds=seconds))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "in" / "records.sqlite"


def test_what_is_stored_is_read(path: Path) -> None:
    assert read(path) == Stored((), ())
    assert add([recorded()], path) == 1
    assert add([later(2), later(1)], path) == 2
    assert read(path) == Stored((later(2), later(1), recorded()), ())
    # nothing beside it
    assert [file.name for file in path.parent.iterdir()] == ["records.sqlite"]


def test_a_record_is_stored_once(path: Path) -> None:
    assert add([recorded(), recorded(), later(1)], path) == 2
    assert add([later(1), recorded()], path) == 0
    assert len(read(path).records) == 2


def test_those_of_one_run(path: Path) -> None:
    other = recorded(measured(RUN.replace(rank=8)))
    add([recorded(), other], path)
    assert read(path, other.run_key).records == (other,)
    assert read(path, "0" * 64) == Stored((), ())
    add([later(1)], path)
    assert read(path, recorded().run_key, newest=1).records == (later(1),)
    assert len(read(path, newest=2).records) == 2


def test_all_or_none(path: Path) -> None:
    add([recorded()], path)
    broken = Record(**{name: getattr(later(1), name) for name in Record.__slots__} | {"key": "short"})
    with pytest.raises(NotStored, match=r"constraint failed.*unchanged"):
        add([later(2), broken], path)
    assert read(path).records == (recorded(),)


def test_records_do_not_change(path: Path) -> None:
    add([recorded()], path)
    with closing(CONNECT(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="records do not change"):
        connection.execute("UPDATE records SET at = '2030-01-01T00:00:00Z'")


def test_the_users_own_file_is_meant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    add([recorded()])
    assert read() == read(path) == Stored((recorded(),), ())


def test_a_crash_in_the_middle_is_rolled_back_by_whoever_comes_next(path: Path, tmp_path: Path) -> None:
    add([recorded()], path)
    crashed = tmp_path / "crashed.sqlite"
    with closing(CONNECT(path, isolation_level=None)) as connection:
        # so little cache that pages are written to the file before the commit
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        for number in range(50):
            connection.execute(
                "INSERT INTO records SELECT ?, key, run_key, at, document FROM records LIMIT 1", (f"{number:064}",)
            )
        # what a machine that loses power now has on its disk
        shutil.copy(path, crashed)
        shutil.copy(f"{path}-journal", f"{crashed}-journal")
    assert crashed.read_bytes() != path.read_bytes()
    assert read(crashed) == Stored((recorded(),), ())
    assert add([later(1)], crashed) == 1


@pytest.mark.slow
def test_writers_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.profiler.records.killing", str(tmp_path), "100"],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    *problems, seen = done.stdout.splitlines()
    assert problems == []
    assert done.stderr == ""
    trials, stored = int(seen.split()[0]), int(seen.split()[2])
    assert trials == 100
    assert stored > 100


def test_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add([recorded()], path)
    before = path.read_bytes()

    def full(*arguments: Any, **more: Any) -> sqlite3.Connection:
        connection = CONNECT(*arguments, **more)
        connection.execute("PRAGMA max_page_count = 1")  # no more than the file has
        return connection

    monkeypatch.setattr(store.sqlite3, "connect", full)
    with pytest.raises(NotStored, match=r"cannot be written \(database or disk is full\), and what it held before is"):
        add([later(second) for second in range(1, 20)], path)
    monkeypatch.undo()
    assert path.read_bytes() == before


LIMITED = """
import resource, signal, sys
from pathlib import Path
from profiler.records.record import NotStored
from profiler.records.sharing import read_export
from profiler.records.store import add
records = read_export(Path(sys.argv[2]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    print(add(records, Path(sys.argv[1])))
except NotStored as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 512, 5000, 60_000])
def test_a_file_that_cannot_grow(path: Path, tmp_path: Path, room: int) -> None:
    from profiler.records.sharing import write_export

    add([recorded()], path)
    new = tmp_path / "new.csv"
    write_export(new, [later(second) for second in range(1, 20)])
    limited = [sys.executable, "-c", LIMITED, str(path), str(new), str(room)]
    done = subprocess.run(limited, check=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "records.sqlite' cannot be written (" in done.stdout
    assert done.stderr == ""
    assert read(path) == Stored((recorded(),), ())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotStored, match=r"cannot be written \(not a directory\)"):
        add([recorded()], tmp_path / "file" / "lora-plan" / "records.sqlite")
    assert (tmp_path / "file").read_text() == "mine"
    assert read(tmp_path / "file" / "lora-plan" / "records.sqlite") == Stored((), ())


def test_a_file_that_may_not_be_written_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add([recorded()], path)

    def read_only(where: str, **more: Any) -> sqlite3.Connection:
        # whatever its permissions are: root may write to all
        return CONNECT(where.partition("?")[0] + "?mode=ro", **more)

    monkeypatch.setattr(store.sqlite3, "connect", read_only)
    with pytest.raises(NotStored, match="attempt to write a readonly database"):
        add([later(1)], path)
    assert read(path).records == (recorded(),)


def test_a_file_that_stays_busy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add([recorded()], path)
    monkeypatch.setattr(store, "WAIT_S", 0.01)
    with closing(CONNECT(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(NotStored, match="database is locked"):
            add([later(1)], path)
        with pytest.raises(InputError, match=r"records in '.*' cannot be read \(database is locked\)"):
            read(path)
    assert add([later(1)], path) == 1


def written(change: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with closing(CONNECT(path)) as connection:
            connection.executescript(change)

    return make


def damaged(path: Path) -> None:
    add([recorded()], path)
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.write_bytes(b"my notes"), "is no file of records, or it is damaged"),
        (lambda path: path.write_bytes(b"x" * 100_000), "is no file of records, or it is damaged"),
        (damaged, "is no file of records, or it is damaged"),
        (written("CREATE TABLE mine (a)"), "is a database of another program; set LORA_PLAN_RECORDS"),
        (written("PRAGMA user_version = 3"), "is a database of another program"),
        (written(f"PRAGMA application_id = {store.APPLICATION}; PRAGMA user_version = 2"), "by a newer lora-plan"),
    ],
)
def test_a_file_that_holds_something_else(tmp_path: Path, make: Callable[[Path], None], what: str) -> None:
    path = tmp_path / "records.sqlite"
    make(path)
    before = path.read_bytes()
    for attempt in (lambda: add([recorded()], path), lambda: read(path)):
        with pytest.raises(InputError) as caught:
            attempt()
        assert what in str(caught.value)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_an_empty_file_has_no_records_yet(tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.touch()
    assert read(path) == Stored((), ())
    assert add([recorded()], path) == 1


def test_a_record_that_cannot_be_read_hides_no_other(path: Path) -> None:
    add([recorded(), later(1)], path)
    with closing(CONNECT(path)) as connection:
        connection.execute("DROP TRIGGER no_record_changes")
        connection.execute("UPDATE records SET document = '{}' WHERE id = ?", (recorded().id,))
        connection.commit()
    found = read(path)
    assert found.records == (later(1),)
    (said,) = found.unreadable
    assert said.startswith(f"record {recorded().id[:8]} in ")


@pytest.mark.parametrize("path", ["/dev/full", "/dev/null", ".", "a\0b", "x" * 5000], ids=range(5))
def test_a_path_of_no_file(path: str) -> None:
    with pytest.raises(InputError) as caught:
        add([recorded()], Path(path))
    assert "\n" not in str(caught.value)
    assert read(Path(path)) == Stored((), ())


def test_the_limit_of_sizes_is_there() -> None:
    # what the tests above rely on
    assert hasattr(resource, "RLIMIT_FSIZE")
    assert hasattr(signal, "SIGXFSZ")

"""Simulations on disk: what is put is got, or nothing; and no disk ever fails a simulation."""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.simulate import cache as module
from profiler.simulate.cache import SimulationCache, default_folder

ROOT = Path(__file__).parents[3]
KEY = {"model": "llama-70b", "method": "qlora", "rank": 16, "versions": {"torch": "2.13.0", "peft": "0.21.2"}}
VALUE = {"peak": 38 * 1024**3, "instants": [{"name": "forward", "bytes": 12}, {"name": "backward", "bytes": 7.5}]}
DAMAGED = "a cached simulation was damaged and is made again"


@pytest.fixture
def cache(tmp_path: Path) -> SimulationCache:
    return SimulationCache(tmp_path / "cache")


def files(cache: SimulationCache) -> list[Path]:
    assert cache.folder is not None
    return sorted(cache.folder.iterdir())


def the_entry(cache: SimulationCache) -> Path:
    [entry] = files(cache)
    return entry


def set_age(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process, which has imported SimulationCache."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, sys\nfrom profiler.simulate.cache import SimulationCache\n{script}",
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- what is put is got ---------------------------------------------------------------------------


def test_a_simulation_is_found_again(cache: SimulationCache) -> None:
    assert cache.get(KEY) is None
    cache.put(KEY, VALUE)
    assert cache.get(KEY) == VALUE
    assert SimulationCache(cache.folder).get(KEY) == VALUE
    assert cache.warnings == []


def test_the_order_of_a_key_does_not_matter_and_that_of_a_value_is_kept(cache: SimulationCache) -> None:
    cache.put({"a": 1, "b": {"c": 2, "d": 3}}, {"z": 1, "a": 2})
    found = cache.get({"b": {"d": 3, "c": 2}, "a": 1})
    assert found is not None
    assert list(found.items()) == [("z", 1), ("a", 2)]


@pytest.mark.parametrize("other", [True, 1.0, "1", [1], None, 2])
def test_another_key_is_a_miss(cache: SimulationCache, other: object) -> None:
    cache.put({"rank": 1}, VALUE)
    assert cache.get({"rank": other}) is None
    assert cache.get({"rank": 1, "version": "0.2.0"}) is None
    assert cache.get({"rank": 1}) == VALUE
    assert cache.warnings == []


def test_a_later_simulation_takes_the_place_of_an_earlier(cache: SimulationCache) -> None:
    cache.put(KEY, {"peak": 1})
    cache.put(KEY, {"peak": 2})
    assert cache.get(KEY) == {"peak": 2}
    assert len(files(cache)) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.text(), json_values, max_size=4)


@given(key=documents, value=documents)
def test_whatever_json_can_say_comes_back(key: dict[str, object], value: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = SimulationCache(Path(folder))
        cache.put(key, value)
        found = cache.get(key)
        assert repr(found) == repr(value)  # repr tells 1 from True and 0.0 from -0.0
        assert cache.warnings == []


def test_what_json_cannot_say_is_the_callers_mistake(cache: SimulationCache) -> None:
    with pytest.raises(TypeError):
        cache.put(KEY, {"path": Path("x")})
    with pytest.raises(TypeError):
        cache.get({"path": Path("x")})


def test_an_entry_is_a_gzip_file_of_two_lines_for_the_user_alone(cache: SimulationCache) -> None:
    cache.put(KEY, VALUE)
    entry = the_entry(cache)
    key, value = gzip.decompress(entry.read_bytes()).splitlines()
    assert (json.loads(key), json.loads(value)) == (KEY, VALUE)
    if os.name == "posix":
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
        assert stat.S_IMODE(entry.parent.stat().st_mode) == 0o700


def test_importing_it_loads_nothing_heavy() -> None:
    process = start("print(sorted({'torch', 'tempfile', 'hashlib', 'gzip', 'pickle'} & set(sys.modules)))")
    assert process.communicate() == ("[]\n", None)


# --- where it is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, "/home/ada/.cache/lora-plan/simulations"),
        ("linux", {"XDG_CACHE_HOME": "/var/ada"}, "/var/ada/lora-plan/simulations"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ada/.cache/lora-plan/simulations"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/ada/.cache/lora-plan/simulations"),
        ("linux", {"LORA_PLAN_CACHE": "/data", "XDG_CACHE_HOME": "/var/ada"}, "/data/simulations"),
        ("linux", {"LORA_PLAN_CACHE": "~/kept"}, "/home/ada/kept/simulations"),
        ("linux", {"LORA_PLAN_CACHE": ""}, "/home/ada/.cache/lora-plan/simulations"),
        ("darwin", {"XDG_CACHE_HOME": "/var/ada"}, "/home/ada/Library/Caches/lora-plan/simulations"),
        ("win32", {"LOCALAPPDATA": "/users/ada/local"}, "/users/ada/local/lora-plan/simulations"),
        ("win32", {}, "/home/ada/AppData/Local/lora-plan/simulations"),
        ("win32", {"LORA_PLAN_CACHE": "/data", "LOCALAPPDATA": "/users/ada/local"}, "/data/simulations"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="the expected paths are written as POSIX has them")
def test_the_folder_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("LORA_PLAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, text in ({"HOME": "/home/ada"} | variables).items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys, "platform", platform)
    assert default_folder() == Path(expected)
    assert SimulationCache().folder == Path(expected)


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(path: str) -> str:
        return path  # what os.path.expanduser gives for a user without an entry in the password database

    for name in ("LORA_PLAN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", no_home)
    cache = SimulationCache()
    cache.put(KEY, VALUE)
    assert cache.get(KEY) is None
    assert cache.warnings == ["the simulation is not kept: there is no home folder; set LORA_PLAN_CACHE to a folder"]


# --- disks that refuse ----------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = SimulationCache(tmp_path / "file" / "cache")
    for _ in range(2):
        cache.put(KEY, VALUE)
        assert cache.get(KEY) is None
    assert cache.warnings == [
        f"the simulation is not kept: {cache.folder} cannot be written ({os.strerror(errno.ENOTDIR)}); "
        "set LORA_PLAN_CACHE to another folder"
    ]


def test_a_read_only_home_fails_nothing(cache: SimulationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    cache.put(KEY, VALUE)
    assert cache.get(KEY) is None
    [sentence] = cache.warnings
    assert "cannot be written (Read-only file system)" in sentence


def test_entries_of_a_read_only_folder_are_still_read(cache: SimulationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    cache.put(KEY, VALUE)
    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert cache.get(KEY) == VALUE
    the_entry(cache).write_bytes(b"damaged")
    assert cache.get(KEY) is None
    assert cache.warnings == [DAMAGED]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's device that is always full")
def test_a_disk_that_fills_while_writing_leaves_nothing_behind(
    cache: SimulationCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.put({"earlier": 1}, VALUE)
    really_open = os.open

    def open_on_a_full_disk(path: Path, flags: int, mode: int) -> int:
        descriptor = really_open(path, flags, mode)  # the name is there, as on a full disk
        full = really_open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor)
        os.close(full)
        return descriptor

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", open_on_a_full_disk)
        cache.put(KEY, VALUE)
    assert cache.get(KEY) is None
    assert cache.get({"earlier": 1}) == VALUE
    assert len(files(cache)) == 1
    [sentence] = cache.warnings
    assert os.strerror(errno.ENOSPC) in sentence


def test_an_entry_that_cannot_be_opened_is_a_miss(cache: SimulationCache) -> None:
    cache.put(KEY, VALUE)
    entry = the_entry(cache)
    entry.unlink()
    entry.mkdir()
    assert cache.get(KEY) is None
    cache.put(KEY, VALUE)
    read, written = cache.warnings
    assert read.startswith(f"simulations cached in {cache.folder} cannot be read (")
    assert written.startswith(f"the simulation is not kept: {cache.folder} cannot be written (")
    assert len(files(cache)) == 1


def test_ctrl_c_while_writing_leaves_nothing_behind(cache: SimulationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cache.put(KEY, VALUE)
    assert files(cache) == []


# --- damage ---------------------------------------------------------------------------------------


def packed(key: object, value: object) -> bytes:
    """An entry as another hand would write it: sorted key, a line end, the value."""
    line = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return gzip.compress(f"{line}\n{json.dumps(value)}".encode())


WHOLE = packed(KEY, VALUE)


def test_an_entry_by_another_hand_is_read(cache: SimulationCache) -> None:
    """The damaged entries below differ from this one in their damage alone."""
    cache.put(KEY, {})
    the_entry(cache).write_bytes(WHOLE)
    assert cache.get(KEY) == VALUE


@pytest.mark.parametrize(
    "damaged",
    {
        "empty": b"",
        "truncated": WHOLE[:-1],
        "cut in half": WHOLE[: len(WHOLE) // 2],
        "only zeros, as after a power cut": bytes(len(WHOLE)),
        "followed by something": WHOLE + b"\0",
        "two members": WHOLE + WHOLE,
        "not gzip": json.dumps(VALUE).encode(),
        "wrong CRC-32": WHOLE[:-8] + bytes(4) + WHOLE[-4:],
        "wrong length": WHOLE[:-4] + bytes(4),
        "no value": gzip.compress(json.dumps(KEY, sort_keys=True, separators=(",", ":")).encode()),
        "another key": packed(KEY | {"rank": 8}, VALUE),
        "another version": packed(KEY | {"versions": {"torch": "2.12.0", "peft": "0.21.2"}}, VALUE),
        "a list": packed(KEY, [VALUE]),
        "a number": packed(KEY, 7),
        "null": packed(KEY, None),
        "not JSON": gzip.compress(gzip.decompress(WHOLE)[:-1]),
        "not UTF-8": gzip.compress(gzip.decompress(WHOLE).replace(b"forward", b"for\xff\xfe\xfd\xfc")),
        "too deep": gzip.compress(gzip.decompress(WHOLE).splitlines()[0] + b"\n" + b"[" * 10**6),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_damaged_entry_is_made_again_and_said_once(cache: SimulationCache, damaged: tuple[str, bytes]) -> None:
    cache.put(KEY, VALUE)
    entry = the_entry(cache)
    for _ in range(2):
        entry.write_bytes(damaged[1])
        assert cache.get(KEY) is None
        assert not entry.exists()
    assert cache.warnings == [DAMAGED]
    cache.put(KEY, VALUE)
    assert cache.get(KEY) == VALUE


@given(
    flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), max_size=4),
    length=st.none() | st.integers(0, len(WHOLE)),
    moved=st.tuples(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE))),
    more=st.binary(max_size=8),
)
def test_no_damage_gives_a_wrong_value(
    flips: list[tuple[int, int]], length: int | None, moved: tuple[int, int], more: bytes
) -> None:
    data = bytearray(WHOLE)
    for position, difference in flips:
        data[position] ^= difference
    start, end = moved
    data = data[end:] + data[:end] if start > end else data
    damaged = bytes(data[:length]) + more
    with tempfile.TemporaryDirectory() as folder:
        cache = SimulationCache(Path(folder))
        cache.put(KEY, {})
        the_entry(cache).write_bytes(damaged)
        found = cache.get(KEY)
        assert found in (None, VALUE)
        assert cache.warnings == ([DAMAGED] if found is None else [])


def test_a_bomb_is_not_unpacked(cache: SimulationCache, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = packed(KEY, VALUE | {"padding": " " * (50 * 2**20)})  # 50 MiB in 50 kB, and otherwise whole
    cache.put(KEY, VALUE)
    the_entry(cache).write_bytes(bomb)
    monkeypatch.setattr(module, "MOST_ENTRY_BYTES", 2**20)
    tracemalloc.start()
    try:
        assert cache.get(KEY) is None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert cache.warnings == [DAMAGED]


# --- bounds ---------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = SimulationCache(tmp_path, most_entries=3)
    for number in range(3):
        before = set(files(cache))
        cache.put({"run": number}, {"peak": number})
        [entry] = set(files(cache)) - before
        set_age(entry, 1000 - number)
    assert cache.get({"run": 0}) == {"peak": 0}  # a hit makes it the youngest
    cache.put({"run": 3}, {"peak": 3})
    assert [number for number in range(4) if cache.get({"run": number}) is not None] == [0, 2, 3]
    assert cache.warnings == []


@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12))
def test_the_bounds_hold_after_every_put(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = SimulationCache(Path(folder), most_entries=4, most_bytes=8000)
        for number, size in enumerate(sizes):
            value = {"noise": os.urandom(size).hex()}
            cache.put({"run": number}, value)
            assert len(files(cache)) <= 4
            assert sum(file.stat().st_size for file in files(cache)) <= 8000
            assert cache.get({"run": number}) == value
        assert cache.warnings == []


def test_a_clock_set_back_does_not_evict_what_was_just_put(tmp_path: Path) -> None:
    cache = SimulationCache(tmp_path, most_entries=1)
    cache.put({"run": 0}, VALUE)
    set_age(the_entry(cache), -1e6)
    cache.put({"run": 1}, VALUE)
    assert (cache.get({"run": 0}), cache.get({"run": 1})) == (None, VALUE)


def test_what_is_over_a_bound_by_itself_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = SimulationCache(tmp_path / "cache", most_bytes=2**20)
    cache.put(KEY, {"noise": os.urandom(2**20).hex()})  # hexadecimal packs to half: 1 MiB, and the rest
    monkeypatch.setattr(module, "MOST_ENTRY_BYTES", 2**10)
    cache.put(KEY, {"padding": " " * 2**11})
    assert cache.get(KEY) is None
    assert not (tmp_path / "cache").exists()
    assert len(cache.warnings) == 2
    assert cache.warnings[0].endswith("more than 1.0 MiB")
    assert cache.warnings[1] == "the simulation is not kept: it takes 2.1 KiB, more than 1.0 KiB"


def test_only_its_own_files_are_removed(tmp_path: Path) -> None:
    strangers = [tmp_path / name for name in ("thesis.gz", "a.jsonl.gz", ".thesis.tmp", "0" * 64)]
    for stranger in strangers:
        stranger.write_text("precious")
        set_age(stranger, 1e6)
    cache = SimulationCache(tmp_path, most_entries=1)
    for number in range(3):
        cache.put({"run": number}, VALUE)
    assert all(stranger.read_text() == "precious" for stranger in strangers)
    assert len(files(cache)) == len(strangers) + 1


def test_entries_that_cannot_be_removed_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    cache = SimulationCache(tmp_path, most_entries=1)
    cache.put({"run": 0}, VALUE)
    monkeypatch.setattr(Path, "unlink", refuse)
    cache.put({"run": 1}, VALUE)
    assert cache.get({"run": 1}) == VALUE
    assert cache.warnings == [f"old simulations in {tmp_path} cannot be removed (Operation not permitted)"]


# --- other processes ------------------------------------------------------------------------------

BUSY = """
worker, seen = int(sys.argv[2]), 0
from pathlib import Path
cache = SimulationCache(Path(sys.argv[1]), most_entries=4)
for turn in range(400):
    number = (turn * 7 + worker) % 8
    value = {"run": number, "rows": list(range(number * 500))}
    if turn % 3:
        found = cache.get({"run": number})
        assert found in (None, value)
        seen += found is not None
    else:
        cache.put({"run": number}, value)
assert cache.warnings == [], cache.warnings
print(seen)
"""


def test_processes_share_a_cache(tmp_path: Path) -> None:
    """Eight keys, room for four, four processes: every eviction meets others' reads and writes."""
    processes = [start(BUSY, str(tmp_path), str(worker)) for worker in range(4)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sum(int(output) for output in outputs) > 0
    cache = SimulationCache(tmp_path)
    assert all(file.name.endswith(".jsonl.gz") for file in files(cache))
    assert len(files(cache)) <= 4


def test_an_entry_that_another_process_removes_first_counts_as_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_unlink = Path.unlink

    def unlink_second(path: Path, missing_ok: bool = False) -> None:
        really_unlink(path)
        really_unlink(path, missing_ok)

    cache = SimulationCache(tmp_path, most_entries=2)
    for number in range(2):
        cache.put({"run": number}, VALUE)
    monkeypatch.setattr(Path, "unlink", unlink_second)
    cache.put({"run": 2}, VALUE)
    assert len(files(cache)) == 2
    assert cache.warnings == []


KILLED_HALF_WAY = """
import time
from pathlib import Path
def half(descriptor, mode):
    os.write(descriptor, b"half a file")
    print("written", flush=True)
    time.sleep(60)
os.fdopen = half
SimulationCache(Path(sys.argv[1])).put({"run": 1}, {"peak": 2})
"""


def test_a_killed_writer_leaves_a_usable_cache(tmp_path: Path) -> None:
    cache = SimulationCache(tmp_path)
    cache.put({"run": 1}, {"peak": 1})
    process = start(KILLED_HALF_WAY, str(tmp_path))
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.kill()
    process.communicate()
    left, _ = files(cache)
    assert left.read_bytes() == b"half a file"

    assert cache.get({"run": 1}) == {"peak": 1}
    cache.put({"run": 1}, {"peak": 2})
    assert cache.get({"run": 1}) == {"peak": 2}
    assert left.exists()  # its writer could be alive
    set_age(left, 2 * 3600)
    cache.put({"run": 1}, {"peak": 3})
    assert not left.exists()
    assert cache.get({"run": 1}) == {"peak": 3}
    assert cache.warnings == []


KILLED_ANYWHERE = """
from pathlib import Path
cache = SimulationCache(Path(sys.argv[1]))
print("started", flush=True)
while True:
    cache.put({"run": 1}, {"noise": os.urandom(100_000).hex(), "whole": True})
"""


@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.02, 0.05])
def test_a_writer_killed_at_any_time_leaves_a_usable_cache(tmp_path: Path, delay: float) -> None:
    cache = SimulationCache(tmp_path)
    cache.put({"run": 1}, {"whole": True})
    process = start(KILLED_ANYWHERE, str(tmp_path))
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(delay)
    process.kill()
    process.communicate()
    found = cache.get({"run": 1})
    assert found is not None
    assert found["whole"] is True
    assert cache.warnings == []

"""One measurement at a time on a device."""

from __future__ import annotations

import builtins
import errno
import os
import re
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.errors import NotMeasured
from profiler.measure.child.lock import device_lock

ROOT = Path(__file__).parents[4]
HOLDS = """
import functools, sys
from pathlib import Path
from profiler.measure.child.lock import device_lock
say = functools.partial(print, flush=True)
with device_lock("cuda:0", 60, say, what="llama-70b qlora", folder=Path(sys.argv[1])) as lock:
    say("held" if lock.warning is None else lock.warning)
    sys.stdin.read()
"""


def said(*_: object) -> None:
    raise AssertionError("nobody is to wait")


@contextmanager
def another(folder: Path) -> Generator[subprocess.Popen[str]]:
    """Another process, which asks for the device until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hears(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_device_is_held_and_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with device_lock("cuda:0", 0, said, folder=tmp_path / "locks") as lock:
            assert lock.warning is None
            assert lock.descriptor is not None
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["cuda_0.lock"]


def test_an_error_frees_it(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), device_lock("cuda:0", 0, said, folder=tmp_path):
            raise ZeroDivisionError


def test_devices_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with device_lock("cuda:0", 0, said, folder=tmp_path), device_lock("cuda:1", 0, said, folder=tmp_path) as lock:
        assert lock.warning is None


def test_who_comes_second_hears_for_whom_it_waits_and_gives_up(tmp_path: Path) -> None:
    told: list[str] = []
    with another(tmp_path) as holder:
        assert hears(holder) == "held"
        with (
            pytest.raises(NotMeasured) as caught,
            device_lock("cuda:0", 0.15, told.append, folder=tmp_path),
        ):
            raise AssertionError("two at once")
    who = rf"another lora-plan \(process {holder.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC, llama-70b qlora\)"
    assert len(told) == 1
    assert re.fullmatch(f"cuda:0 is being measured by {who}; waiting for it, 0 s at most", told[0])
    assert re.fullmatch(
        f"cuda:0 is still being measured by {who} after 0 s; try again when that has ended", str(caught.value)
    )


def test_who_waits_gets_it_when_the_first_has_ended(tmp_path: Path) -> None:
    first = device_lock("cuda:0", 0, said, what="first", folder=tmp_path)
    first.__enter__()
    with another(tmp_path) as second:
        assert f"process {os.getpid()}, " in hears(second)
        first.__exit__(None, None, None)
        assert hears(second) == "held"


def test_a_holder_that_is_killed_is_no_obstacle(tmp_path: Path) -> None:
    with another(tmp_path) as holder:
        assert hears(holder) == "held"
        holder.kill()
        holder.wait()
        with device_lock("cuda:0", 0, said, folder=tmp_path) as lock:
            assert lock.warning is None


def test_it_is_free_only_once_its_child_is_gone_too(tmp_path: Path) -> None:
    with device_lock("cuda:0", 0, said, folder=tmp_path) as lock:
        assert lock.descriptor is not None
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor])
    with child:
        with pytest.raises(NotMeasured), device_lock("cuda:0", 0, said, folder=tmp_path):
            raise AssertionError("the child still measures")
        child.kill()
        child.wait()
        with device_lock("cuda:0", 0, said, folder=tmp_path) as again:
            assert again.warning is None


@pytest.mark.parametrize("left", [b"", b"\xff\x00", b"[1]", b'{"process": "x"}', b"{" * 5000])
def test_what_a_lock_file_says_is_not_trusted(tmp_path: Path, left: bytes) -> None:
    with another(tmp_path) as holder:
        assert hears(holder) == "held"
        (tmp_path / "cuda_0.lock").write_bytes(left)
        with (
            pytest.raises(NotMeasured, match="cuda:0 is still being measured by another lora-plan after 0 s"),
            device_lock("cuda:0", 0, said, folder=tmp_path),
        ):
            raise AssertionError("two at once")


def test_locks_are_kept_beside_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path))
    with device_lock("../../mps", 0, said):
        assert (tmp_path / "locks" / ".._.._mps.lock").exists()


# --- where there can be no lock -------------------------------------------------------------------


def warning(folder: Path | None) -> str:
    with device_lock("cuda:0", 0, said, folder=folder) as lock:
        assert lock.descriptor is None
        assert lock.warning is not None
        return lock.warning


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "locks"
    assert warning(folder) == (
        f"nothing keeps others from measuring cuda:0 at the same time: {folder / 'cuda_0.lock'} cannot be written "
        "(Not a directory); set LORA_PLAN_CACHE to another folder"
    )


@pytest.mark.parametrize("reason", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EMFILE])
def test_so_is_a_read_only_home_or_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    def refuses(*_: object) -> int:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "open", refuses)
    assert os.strerror(reason) in warning(tmp_path)


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("theirs")
    (tmp_path / "cuda_0.lock").symlink_to(tmp_path / "theirs")
    assert "cannot be written" in warning(tmp_path)
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_without_a_home_folder_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("profiler.measure.child.lock.default_folder", lambda: None)
    assert warning(None).endswith("there is no home folder; set LORA_PLAN_CACHE to a folder")


def test_a_file_system_without_locks_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuses)
    assert "(No locks available)" in warning(tmp_path)


def test_a_system_without_flock_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_fcntl(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        if name == "fcntl":
            raise ImportError(name)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", no_fcntl)
    assert warning(tmp_path).endswith("this system has no flock; see to it yourself")


def test_a_disk_that_fills_up_leaves_the_lock_and_loses_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with device_lock("cuda:0", 0, said, folder=tmp_path) as lock:
        assert lock.warning is None
        with (
            pytest.raises(NotMeasured, match="measured by another lora-plan after"),
            device_lock("cuda:0", 0, said, folder=tmp_path),
        ):
            raise AssertionError("two at once")

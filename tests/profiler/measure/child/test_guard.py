"""The guard: ends a process group once its own parent is gone, and only then."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator

import pytest

from profiler.measure.child.guard import start_guard, stop_guard

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def sleeper() -> Generator[subprocess.Popen[bytes]]:
    """The leader of a group of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, start_new_session=True, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(2) == b"up"
        yield process
        process.kill()


def test_a_group_ends_with_the_process_that_had_it_guarded(sleeper: subprocess.Popen[bytes]) -> None:
    guard = start_guard(sleeper.pid)
    assert guard.stdin is not None
    guard.stdin.close()  # as the end of this process would
    assert sleeper.wait(20) == -9
    stop_guard(guard)


def test_a_guard_that_is_stopped_does_nothing(sleeper: subprocess.Popen[bytes]) -> None:
    guard = start_guard(sleeper.pid)
    stop_guard(guard)
    assert guard.returncode == -9
    assert sleeper.poll() is None


def test_a_guard_that_was_killed_is_no_obstacle(sleeper: subprocess.Popen[bytes]) -> None:
    guard = start_guard(sleeper.pid)
    guard.kill()
    stop_guard(guard)
    stop_guard(guard)
    assert sleeper.poll() is None

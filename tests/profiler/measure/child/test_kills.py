"""More than 200 measurements that are killed, hang or run out of memory, at times from a fixed seed over their lives.

Each ends with its result or with a sentence, and leaves no process behind.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from planner.errors import NotMeasured
from profiler.measure.child.lock import device_lock
from profiler.measure.child.supervise import run_in_child
from tests.profiler.measure.child.groups import PATIENCE_S, is_gone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans as Linux has them"),
]
ROOT = Path(__file__).parents[4]
CHILDREN = "tests.profiler.measure.child.children"
HANGS = ("hangs_in_python", "hangs_in_c", "hangs_with_a_process_of_its_own")


class Started(subprocess.Popen[bytes]):
    """A process that is known to the test, and may be killed after a while."""

    all: list[Started] = []  # noqa: RUF012
    killed_after_s: float | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # the first is the child, the second its guard
        if not Started.all and Started.killed_after_s is not None:
            handle = os.pidfd_open(self.pid)

            def kill() -> None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)

            self.timer = threading.Timer(Started.killed_after_s, kill)
            self.timer.start()
        Started.all.append(self)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Generator[type[Started]]:
    monkeypatch.setattr(subprocess, "Popen", Started)
    yield Started
    Started.killed_after_s = None


def outcome(name: str, request: dict[str, Any] | None = None, **options: Any) -> dict[str, object] | str:
    """A result or a sentence, after which nobody is left."""
    Started.all = []
    said: dict[str, object] | str
    try:
        said = run_in_child(f"{CHILDREN}:{name}", request or {}, **{"seconds": None, **options})
    except NotMeasured as error:
        said = str(error)
    child, guard = Started.all
    if Started.killed_after_s is not None:
        child.timer.join()
    for process in (child, guard):
        assert process.returncode is not None
        with pytest.raises(ChildProcessError):  # reaped: no zombie
            os.waitpid(process.pid, os.WNOHANG)
        assert is_gone(process.pid)
    return said


@pytest.fixture(scope="module")
def life_s() -> float:
    """Seconds from the start of a child that works a little to its end, on this machine."""
    took: list[float] = []
    for _ in range(3):
        began = time.monotonic()
        run_in_child(f"{CHILDREN}:works_a_little", {}, seconds=None)
        took.append(time.monotonic() - began)
    return max(took)


@pytest.mark.parametrize("seed", range(4))
def test_a_child_that_is_killed_leaves_a_sentence_or_its_result(
    seed: int, started: type[Started], life_s: float
) -> None:
    times = random.Random(seed)
    seen: list[dict[str, object] | str] = []
    for _ in range(20):
        started.killed_after_s = times.uniform(0, life_s)
        seen.append(outcome("works_a_little"))
    results = [said for said in seen if not isinstance(said, str)]
    sentences = [said for said in seen if isinstance(said, str)]
    assert all(result == {"peaks": list(range(40_000))} for result in results)
    assert all(
        said.startswith("the process that measured was killed ") and "host memory ran out" in said for said in sentences
    )
    assert sentences


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_ends_at_its_bound_wherever_it_is(name: str, started: type[Started]) -> None:
    times = random.Random(name)
    for _ in range(10):
        said = outcome(name, seconds=times.uniform(0.001, 0.1), grace_s=times.uniform(0, 0.05))
        assert isinstance(said, str)
        assert said.startswith("the process that measured was ended ")
        assert "raise --max-seconds" in said


@pytest.mark.parametrize("name", ["allocates", "raises"])
def test_out_of_memory_is_a_sentence(name: str, started: type[Started]) -> None:
    for _ in range(10):
        said = outcome(name, {"what": "memory"})
        assert isinstance(said, str)
        assert said.startswith("host memory ran out while loading the model")


# --- the parent is killed -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parents() -> Generator[subprocess.Popen[str]]:
    """What forks parents, and adopts their orphans."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.profiler.measure.child.parents"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        yield process
        process.kill()


def answer(parents: subprocess.Popen[str]) -> int:
    assert parents.stdout is not None
    ready, _, _ = select.select([parents.stdout], [], [], PATIENCE_S)
    assert ready, "a process has outlived its parent"
    return int(parents.stdout.readline())


def killed(parents: subprocess.Popen[str], target: str, number: int, after_s: float | None = None) -> int:
    """The exit status of a parent that gets a signal, after a while or once its child is at work; whoever it leaves
    behind has ended by then."""
    assert parents.stdin is not None
    parents.stdin.write(f"{CHILDREN}:{target} {int(number) if after_s is None else 0}\n")
    parent = answer(parents)
    if after_s is None:
        parents.stdin.write("\n")
        return answer(parents)
    handle = os.pidfd_open(parent)
    parents.stdin.write("\n")
    try:
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        return answer(parents)
    finally:
        os.close(handle)


@pytest.mark.parametrize("target", ["works_a_little", *HANGS])
def test_nothing_outlives_a_parent_that_is_killed(target: str, parents: subprocess.Popen[str], life_s: float) -> None:
    times = random.Random(target)
    statuses = [killed(parents, target, signal.SIGKILL, times.uniform(0, life_s)) for _ in range(15)]
    assert set(statuses) <= ({0, -9} if target == "works_a_little" else {-9})


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, -15), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_nothing_outlives_a_parent_that_is_asked_to_end(
    number: signal.Signals, status: int, parents: subprocess.Popen[str], life_s: float
) -> None:
    times = random.Random(number)
    for target in HANGS:
        for _ in range(4):
            assert killed(parents, target, number, times.uniform(0, life_s)) == status


@pytest.mark.parametrize("target", HANGS)
def test_nor_does_it_where_the_child_is_at_work_for_certain(target: str, parents: subprocess.Popen[str]) -> None:
    assert killed(parents, target, signal.SIGKILL) == -9
    assert killed(parents, target, signal.SIGTERM) == -15
    assert killed(parents, target, signal.SIGINT) == 130


# --- two at once ----------------------------------------------------------------------------------

HOLDS = """
import sys
from pathlib import Path
from profiler.measure.child.lock import device_lock
from profiler.measure.child.supervise import run_in_child
with device_lock("cuda:0", 60, print, folder=Path(sys.argv[1])) as lock:
    print(lock.warning, flush=True)
    run_in_child(sys.argv[2], {}, seconds=None, keep=[lock.descriptor])
"""


def test_two_at_once_are_one_after_the_other_though_the_first_is_killed(tmp_path: Path, life_s: float) -> None:
    times = random.Random(2)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", HOLDS, str(tmp_path), f"{CHILDREN}:hangs_in_c"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as first:
            assert first.stdout is not None
            assert first.stdout.readline() == "None\n"
            with (
                pytest.raises(NotMeasured, match=rf"measured by another lora-plan \(process {first.pid}, "),
                device_lock("cuda:0", 0, print, folder=tmp_path),
            ):
                raise AssertionError("two at once")
            time.sleep(times.uniform(0, life_s))
            first.kill()
        with device_lock("cuda:0", PATIENCE_S, print, folder=tmp_path) as lock:
            assert lock.warning is None

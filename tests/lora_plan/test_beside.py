"""Work beside a process, in processes of their own: this one has threads, and is never copied."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lora_plan.beside import beside

ROOT = Path(__file__).parents[2]
SEVERAL_CORES = "os.sched_getaffinity = lambda _: {0, 1}"


def ran(body: str, cores: str = SEVERAL_CORES, status: int = 0) -> str:
    """What a fresh process prints that runs `body`, and ends with `status`."""
    lines = ["import os, sys, time", cores, "from lora_plan.beside import beside", textwrap.dedent(body)]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(lines)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


copied = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process is not copied here")


@copied
def test_the_work_is_done_in_another_process() -> None:
    body = """
        with beside(os.getpid) as result:
            print(result() != os.getpid())
    """
    assert ran(body) == "True\n"


@copied
@pytest.mark.parametrize("end", ["os._exit(3)", "raise KeyboardInterrupt", "raise ValueError('lost')"])
def test_what_comes_to_nothing_is_done_here(end: str) -> None:
    body = f"""
        here = os.getpid()
        def work():
            if os.getpid() != here:
                {end}
            return "done here"
        with beside(work) as result:
            print(result())
    """
    assert ran(body) == "done here\n"


@copied
def test_what_is_not_waited_for_is_ended() -> None:
    body = """
        import multiprocessing
        with beside(lambda: time.sleep(600)):
            (copy,) = multiprocessing.active_children()
        print(copy.exitcode, multiprocessing.active_children())
    """
    assert ran(body) == "-9 []\n"


@copied
def test_a_copy_does_not_outlive_the_process_that_waits_for_it() -> None:
    # more than a pipe holds; the copy has stdout too, so that this reads until both have ended
    body = """
        with beside(lambda: bytes(10**6)):
            os.kill(os.getpid(), 9)
    """
    assert ran(body, status=-9) == ""


@copied
def test_the_copy_leaves_ctrl_c_to_the_process_that_waits_for_it() -> None:
    body = """
        import signal
        with beside(lambda: signal.raise_signal(signal.SIGINT) or os.getpid()) as result:
            print(result() != os.getpid())
    """
    assert ran(body) == "True\n"


@pytest.mark.parametrize(
    "cores", ["os.sched_getaffinity = lambda _: {0}", "sys.platform = 'darwin'", "sys.modules['numpy'] = sys"]
)
def test_where_it_cannot_be_copied_it_is_done_when_it_is_waited_for(cores: str) -> None:
    body = """
        with beside(lambda: print("works") or os.getpid()) as result:
            print("waits")
            print(result() == os.getpid())
    """
    assert ran(body, cores) == "waits\nworks\nTrue\n"


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    def work() -> int:
        raise ValueError("nothing")

    with beside(work) as result, pytest.raises(ValueError, match="nothing"):
        result()

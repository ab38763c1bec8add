"""A second process, of a few MiB, that ends a process group when this process is gone.

What measures watches for that itself, but not while it hangs in C with Python's lock held, nor would a death signal
of the kernel's (prctl(2), PR_SET_PDEATHSIG) reach what it started.
"""

from __future__ import annotations

import subprocess
import sys

_CODE = "import os, sys; os.read(0, 1); os.killpg(int(sys.argv[1]), 9)"
"""The read returns once nobody can write to its pipe any more."""


def start_guard(group: int) -> subprocess.Popen[bytes]:
    """A process that sends SIGKILL to a process group as soon as this process has ended. Raises `OSError`.

    It has to be stopped, by `stop_guard`, before the leader of that group is reaped: then its number may be another's.
    """
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE, str(group)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # out of reach of Ctrl-C
    )


def stop_guard(guard: subprocess.Popen[bytes]) -> None:
    """End it and have it do nothing."""
    guard.kill()
    guard.wait()
    if guard.stdin is not None:
        guard.stdin.close()

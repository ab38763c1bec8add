"""Parents to be killed: for each line on its input (a function; a signal, or 0) this process forks one, which measures
in a child.

It adopts whatever outlives such a parent (prctl(2), PR_SET_CHILD_SUBREAPER), and answers with the parent's exit
status once nothing of it is left; so it does not answer where there is an orphan.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time

from profiler.measure.child.supervise import run_in_child

PR_SET_CHILD_SUBREAPER = 36


def measure(target: str, number: int) -> int:
    """As the command line does, whose exit statuses these are; with a signal to itself once the child is at work."""

    def told(_phase: str, _share: float) -> None:
        if number:
            time.sleep(0.05)
            os.kill(os.getpid(), number)

    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        run_in_child(target, {}, seconds=None, progress=told)
    except KeyboardInterrupt:
        return 130
    return 0


def say(number: int) -> None:
    os.write(1, b"%d\n" % number)


def main() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    for line in sys.stdin:
        parent = os.fork()
        if parent == 0:
            target, number = line.split()
            os._exit(measure(target, int(number)))
        say(parent)
        sys.stdin.readline()  # its number stays its own until the test has a hold of it
        status = os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1])
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        say(status)


if __name__ == "__main__":
    main()

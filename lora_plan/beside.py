"""Work that is done in a copy of this process, beside what this one does meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Result = TypeVar("Result")

_WITH_THREADS = ("numpy", "torch", "pyarrow")
"""Libraries that start threads of their own, which a copy of a process does not have."""


@contextmanager
def beside(work: Callable[[], Result]) -> Generator[Callable[[], Result]]:
    """Begin `work`, and give what waits for its result, which must be one that can be pickled.

    Where a process cannot safely be copied, or has one core alone, `work` is done when it is waited for; so it is where
    the copy comes to nothing. What is not waited for is ended.
    """
    if not _can_be_copied():
        yield work
        return
    import multiprocessing

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    copy = context.Process(target=_send, args=(work, receiver, sender), daemon=True)
    copy.start()
    sender.close()

    def result() -> Result:
        try:
            return receiver.recv()
        except EOFError:
            return work()

    try:
        yield result
    finally:
        copy.kill()
        copy.join()
        receiver.close()


def _can_be_copied() -> bool:
    if not hasattr(os, "fork") or sys.platform == "darwin":  # whose libraries do not bear it
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > 1 and threading.active_count() == 1 and not any(name in sys.modules for name in _WITH_THREADS)


def _send(work: Callable[[], object], receiver: Connection, sender: Connection) -> None:
    """In the copy, which says nothing of what goes wrong: then the work is done where it is waited for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the other one ends this one
    receiver.close()  # or, with the other one gone, the copy would wait forever for itself to read
    with sender, suppress(BaseException):
        sender.send(work())

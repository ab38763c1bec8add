"""Ctrl-C while libraries are at work that would not let it through."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator

INTERRUPTED = 130


@contextlib.contextmanager
def leaving_at_once(before: Callable[[], None]) -> Generator[None]:
    """Meanwhile Ctrl-C ends the process with status 130, after `before`; nothing is unwound.

    A KeyboardInterrupt would be caught by the training stack: transformers takes one that comes during its
    imports for a library that is not installed. Where someone else handles the signal, they go on doing so.
    """
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def leave(*_: object) -> None:
        with contextlib.suppress(Exception):
            before()
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

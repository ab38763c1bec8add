"""The process that measures: calls one function, and tells of it on a pipe.

Its parent starts it as `child_process` says, and it does not outlive that parent: a thread waits for the end of the
pipe that the request came on. (Where no thread of Python's can run, `guard` ends it.)
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from profiler.measure.child.protocol import (
    HOST_MEMORY,
    Failure,
    Message,
    NotAMessage,
    Progress,
    Request,
    Result,
    Started,
    decode,
    encode,
    failure_of,
)

_NO_MEMORY = encode(Failure(HOST_MEMORY, ""))
"""Made while there is memory."""


class Report:
    """What the function is given beside its request: tells how far it is, and knows when it should end."""

    def __init__(self, pipe: int, seconds: float | None) -> None:
        self._pipe = pipe
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self._writing = threading.Lock()

    def progress(self, phase: str, share: float) -> None:
        """A phase begins, with this share of the work done; as `profiler.simulate.progress.Progress`."""
        self.send(encode(Progress(phase, share)))

    def seconds_left(self) -> float:
        """Until the function should return what it has; negative after that, infinite without a bound."""
        return self._until - time.monotonic()

    def send(self, line: bytes) -> None:
        """Write a message."""
        left = memoryview(line)
        with self._writing:
            while left:
                try:
                    left = left[os.write(self._pipe, left) :]
                except OSError:  # nobody reads it any more
                    die()


def main() -> None:
    """Answer the request that comes on standard input."""
    del sys.argv[1:]
    requests, reports = _own_pipes()
    with suppress(OSError):
        os.write(reports, b"\n" + encode(Started()))
    request = _request(requests)
    threading.Thread(target=_watch, args=(requests,), daemon=True).start()
    report = Report(reports, request.seconds)
    try:
        line = _answer(request, report)
    except MemoryError:
        line = _NO_MEMORY
    report.send(line)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    # Python would take seconds to tidy up what the libraries hold
    os._exit(0)


def _answer(request: Request, report: Report) -> bytes:
    message: Message
    try:
        function = _function(request.target)
        message = Result(function(request.request, report))
        return encode(message)
    except BaseException as error:  # SystemExit, too, of a library
        with suppress(Exception):
            traceback.print_exception(error)
        return encode(failure_of(error))


def _function(target: str) -> Callable[[dict[str, object], Report], dict[str, object]]:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _own_pipes() -> tuple[int, int]:
    """The pipes of standard input and output, out of the way of libraries that ask there or print."""
    requests, reports = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, reports


def _request(pipe: int) -> Request:
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(pipe, 1 << 16)
        if not part:
            die()
        line += part
    try:
        request = decode(bytes(line))
    except NotAMessage:
        die()
    return request if isinstance(request, Request) else die()


def _watch(pipe: int) -> None:
    with suppress(OSError):
        while os.read(pipe, 1):
            pass
    die()


def die() -> NoReturn:
    """End this process and those that it started, at once."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)

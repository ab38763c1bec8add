"""The process that measures, as its parent sees it: started, heard, and ended for certain."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from planner.units import MIB
from profiler.measure.child.guard import start_guard, stop_guard
from profiler.measure.child.protocol import MOST_LINE_BYTES, Message, NotAMessage, Request, Started, decode, encode

_CODE = "import sys; sys.path[:] = sys.argv[1:]; from profiler.measure.child.child import main; main()"
"""Python with -m or -c looks first in the folder that it is started in: this has it look where its parent does."""
_BLOCK = 1 << 16
_MOST_PRINTED_BYTES = 1 << 14
_LOOK_EVERY_S = 0.2
_DIES_WITHIN_S = 10.0
_HEARD_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing was said for as long as one wanted to wait."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will be said."""

    nonsense: str = ""
    """What was said that is no message; empty where it just ended."""


class ChildProcess:
    """A process that answers one request and leads a process group of its own; `end` has to be called.

    What it and its libraries print is kept, the last 16 KiB of it; LORA_PLAN_DEBUG=1 lets it through to stderr
    instead. It gets the file descriptors `keep` as well. Raises `OSError` where no process can be started.
    """

    def __init__(self, request: Request, keep: Sequence[int] = ()) -> None:
        line = encode(request)
        debug = os.environ.get("LORA_PLAN_DEBUG") == "1"
        self._said: queue.SimpleQueue[Message | Ended] = queue.SimpleQueue()
        self._printed = bytearray()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if debug else subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            pass_fds=tuple(keep),
        )
        self._threads: list[threading.Thread] = []
        self._hearing = self._start(self._hear, self._process.stdout)
        self._start(self._keep_printed, self._process.stderr)
        self._guard: subprocess.Popen[bytes] | None = None
        if sys.platform != "win32":
            try:
                self._guard = start_guard(self.pid)
            except OSError:
                self.end()
                raise
        # last: until it has a request, it ends with this process in any case
        self._start(lambda pipe: _write(pipe, line), self._process.stdin)

    @property
    def pid(self) -> int:
        """Its number, and that of its process group."""
        return self._process.pid

    @property
    def printed(self) -> bytes:
        """The last of what it printed."""
        return bytes(self._printed)

    def next(self, until: float) -> Message | Ended | Silence:
        """What it says next, before `time.monotonic()` is `until`."""
        while True:
            left = until - time.monotonic()
            try:
                return self._said.get(timeout=max(0.0, min(left, _LOOK_EVERY_S)))
            except queue.Empty:
                if left <= 0:
                    return Silence()
            if self._has_ended():
                # what it started may hold the pipe open
                self._kill()
                self._hearing.join(_HEARD_WITHIN_S)
                self._said.put(Ended())

    def end(self, after_s: float = 0.0) -> int | None:
        """End it, and what it started; it has `after_s` to do so itself.

        Gives its exit status as `subprocess` has it, and None where it cannot be killed (inside a driver, say).
        """
        until = time.monotonic() + after_s
        while self._hearing.is_alive() and (left := until - time.monotonic()) > 0 and not self._has_ended():
            self._hearing.join(min(left, _LOOK_EVERY_S))
        self._kill()
        if self._guard is not None:
            stop_guard(self._guard)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_DIES_WITHIN_S)
        for thread in self._threads:
            thread.join(_HEARD_WITHIN_S)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        return self._process.returncode

    def _kill(self) -> None:
        if self._process.returncode is not None:
            return  # another process may have its number by now
        if sys.platform == "win32":
            self._process.kill()
            return
        # once its pipes are closed its exit status is settled, and this does not change it
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _has_ended(self) -> bool:
        """Whether it is dead, where one can look without reaping it: its number stays its own."""
        if not hasattr(os, "waitid"):
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # reaped by the system, where SIGCHLD is ignored
            return True

    def _start(self, work: Callable[[IO[bytes]], None], pipe: IO[bytes] | None) -> threading.Thread:
        def worked() -> None:
            # ValueError: the pipe was closed because nobody waits for it any more
            with suppress(OSError, ValueError):
                if pipe is not None:
                    work(pipe)

        thread = threading.Thread(target=worked, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _hear(self, pipe: IO[bytes]) -> None:
        line, has_started = bytearray(), False
        while block := pipe.read(_BLOCK):
            first, *others = block.split(b"\n")
            line += first
            for other in others:
                try:
                    message = decode(bytes(line))
                except NotAMessage:
                    if has_started:
                        self._said.put(Ended(f"a line of {len(line)} bytes"))
                        return
                else:
                    has_started = has_started or isinstance(message, Started)
                    self._said.put(message)
                line = bytearray(other)
            if len(line) > MOST_LINE_BYTES:
                self._said.put(Ended(f"a line of more than {MOST_LINE_BYTES // MIB} MiB"))
                return
        self._said.put(Ended())

    def _keep_printed(self, pipe: IO[bytes]) -> None:
        while block := pipe.read(_BLOCK):
            self._printed += block
            del self._printed[:-_MOST_PRINTED_BYTES]


def _write(pipe: IO[bytes], line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[pipe.write(left) :]

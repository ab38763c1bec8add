"""Measuring in a process of its own, so that whatever goes wrong there ends as a sentence and frees the card."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence

from planner.errors import NotMeasured
from profiler.measure.child import endings
from profiler.measure.child.child_process import ChildProcess, Ended, Silence
from profiler.measure.child.protocol import Failure, Progress, Request, Result, error_of
from profiler.simulate.progress import Progress as Tell
from profiler.simulate.progress import silent

GRACE_S = 15.0
"""For the step that is under way at the bound."""
_LEAVES_WITHIN_S = 5.0
"""For the libraries to clean up after the result."""


def run_in_child(
    target: str,
    request: Mapping[str, object],
    *,
    seconds: float | None,
    progress: Tell = silent,
    grace_s: float = GRACE_S,
    keep: Sequence[int] = (),
) -> dict[str, object]:
    """What the function `target` ("package.module:function") returns, called in a new process with `request` and a
    `profiler.measure.child.child.Report`. Both documents are what JSON can say, and nan and infinity.

    The function should return what it has after `seconds`; it is killed `grace_s` later. The process gets the file
    descriptors `keep` as well. When this returns or raises, KeyboardInterrupt too, the process and its group are
    gone; should this process be killed, they go with it.

    Raises `InputError`, `Abstention` and `NoUsableDevice` as the function does, and `NotMeasured` for any other end.
    """
    began = time.monotonic()
    until = math.inf if seconds is None else began + seconds + grace_s
    try:
        child = ChildProcess(Request(target, seconds, dict(request)), keep)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise NotMeasured(f"no process to measure in can be started ({why}); end others, and try again") from None
    leaves_within_s, phase = 0.0, ""
    try:
        said = child.next(until)
        while not isinstance(said, Result | Failure | Ended | Silence):
            if isinstance(said, Progress):
                phase = said.phase
                progress(phase, said.share)
            said = child.next(until)
        after_s = time.monotonic() - began
        if isinstance(said, Result | Failure):
            leaves_within_s = _LEAVES_WITHIN_S
    finally:
        status = child.end(leaves_within_s)
    if isinstance(said, Result):
        return said.document
    if isinstance(said, Failure):
        raise error_of(said, phase)
    if isinstance(said, Silence):
        sentence = endings.overdue(phase, after_s, seconds or 0.0)
    elif said.nonsense:
        sentence = endings.nonsense(said.nonsense, phase)
    else:
        sentence = endings.ended(status or 0, phase, after_s, child.printed)
    raise NotMeasured(sentence + (endings.stuck(child.pid) if status is None else ""))

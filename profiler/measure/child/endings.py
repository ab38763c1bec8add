"""How a process ended that was to measure, in a sentence."""

from __future__ import annotations

import re
import signal

from profiler.measure.child.protocol import MOST_TEXT, during

_WHO = "the process that measured"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""Colours, and moves of the cursor."""
_SHOWN = "LORA_PLAN_DEBUG=1 prints all that it says"


def overdue(phase: str, after_s: float, bound_s: float) -> str:
    """It gave no result within its bound and was killed."""
    return (
        f"{_WHO} was ended {during(phase)}: after {_seconds(after_s)} it had no result, and did not end by itself at "
        f"its bound of {_seconds(bound_s)}; raise --max-seconds or --max-usd, or measure a few layers with --slice"
    )


def stuck(pid: int) -> str:
    """What is added where it was killed and did not die."""
    return f"; process {pid} does not die of it, most likely inside the driver, and may hold the card until it does"


def ended(status: int, phase: str, after_s: float, printed: bytes) -> str:
    """It ended by itself, with that exit status of `subprocess`, and had told no result."""
    when = f"{during(phase)}, after {_seconds(after_s)}"
    if status == -getattr(signal, "SIGKILL", 0) and status:
        return (
            f"{_WHO} was killed {when}, most likely because host memory ran out; free some, or measure a few layers "
            "with --slice"
        )
    if status < 0:
        what = f"was ended by {_signal(-status)}"
    elif status > 0:
        what = f"ended with status {status}"
    else:
        what = "ended without a result"
    last = _last_line(printed)
    return f"{_WHO} {what} {when}{f' ({last})' if last else ''}; {_SHOWN}"


def nonsense(what: str, phase: str) -> str:
    """It said what is no message."""
    return f"{_WHO} sent {what} that cannot be read {during(phase)}, and was ended; {_SHOWN}"


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
    words = signal.strsignal(number)
    return f"{name} ({words.lower()})" if words else name


def _last_line(printed: bytes) -> str:
    """The last line with something to read, without what a terminal would act on."""
    for line in reversed(_CONTROL.sub("", printed.decode("utf-8", "replace")).splitlines()):
        text = "".join(character for character in line if character.isprintable()).strip()
        if text:
            return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}..."
    return ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:,.0f} s"

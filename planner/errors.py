"""The ways an answer can be refused: bad input, an honest "not known", and what keeps a run from being measured."""

from __future__ import annotations


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence: what is wrong, where, and what to do. The command line
    prints it and exits with status 2.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        """The `TrainingRun` field (or option) at fault, where there is one."""


class Abstention(Exception):
    """The planner does not know how to estimate this run, and says why.

    Raised instead of falling back to a guess. `way_out` names what the user can do.
    """

    def __init__(self, reason: str, *, way_out: str = "") -> None:
        super().__init__(f"{reason}; {way_out}" if way_out else reason)
        self.reason = reason
        self.way_out = way_out


class NoUsableDevice(Exception):
    """There is no device to measure on, or it cannot be used; the message is one sentence with what to do."""


class NotMeasured(Exception):
    """A measurement ended without a result: a crash, a hang, a bound. The message says which, and what to do."""

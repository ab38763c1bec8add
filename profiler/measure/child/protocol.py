"""What the process that measures and the one that waits for it say to each other: a line of JSON a message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice
from planner.units import MIB

MOST_LINE_BYTES = 64 * MIB
MOST_TEXT = 300
"""Characters of an error that is not ours."""

INPUT, ABSTAINED, NO_DEVICE, NOT_MEASURED = "input", "abstained", "no_device", "not_measured"
HOST_MEMORY, CRASH = "host_memory", "crash"


class NotAMessage(Exception):
    """A line that no message was written to."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the process."""

    target: str
    """`package.module:function`"""
    seconds: float | None
    """Until it should return what it has."""
    request: dict[str, object]
    """The document that the function is called with."""


@dataclass(frozen=True, slots=True)
class Started:
    """The process runs. What comes before this on its standard output is Python's start-up and no message."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A phase begins."""

    phase: str
    share: float


@dataclass(frozen=True, slots=True)
class Result:
    """The document that the function returned."""

    document: dict[str, object]


@dataclass(frozen=True, slots=True)
class Failure:
    """The exception that the function raised."""

    kind: str
    message: str
    """Of ours, the sentence; of others, their type and first line."""
    field: str | None = None
    way_out: str = ""


Message = Request | Started | Progress | Result | Failure
_KINDS: dict[str, type[Message]] = {
    "request": Request,
    "started": Started,
    "progress": Progress,
    "result": Result,
    "failure": Failure,
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "target": str,
    "seconds": (int, float, type(None)),
    "request": dict,
    "phase": str,
    "share": (int, float),
    "document": dict,
    "kind": str,
    "message": str,
    "field": (str, type(None)),
    "way_out": str,
}


def encode(message: Message) -> bytes:
    """A message as one line. Raises `TypeError` or `ValueError` for a document that JSON cannot say, nan and infinity
    apart, and `ValueError` for one of more than `MOST_LINE_BYTES`."""
    name = type(message).__name__.lower()
    values = {field: getattr(message, field) for field in message.__dataclass_fields__}
    line = json.dumps({name: values}, separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) > MOST_LINE_BYTES:
        raise ValueError(f"a {name} of {len(line)} bytes, more than {MOST_LINE_BYTES}")
    return line


def decode(line: bytes) -> Message:
    """The message that `encode` made this line of. Raises `NotAMessage` for any other line."""
    try:
        said: object = json.loads(line)
    except (ValueError, RecursionError):
        raise NotAMessage from None
    if not isinstance(said, dict) or len(cast("dict[str, object]", said)) != 1:
        raise NotAMessage
    [(name, values)] = cast("dict[str, object]", said).items()
    kind = _KINDS.get(name)
    if kind is None or not isinstance(values, dict):
        raise NotAMessage
    named = cast("Mapping[str, Any]", values)
    if named.keys() != kind.__dataclass_fields__.keys():
        raise NotAMessage
    if not all(isinstance(value, _TYPES[field]) for field, value in named.items()):
        raise NotAMessage
    return kind(**named)


def failure_of(error: BaseException) -> Failure:
    """What the process says of an exception that its function raised."""
    if isinstance(error, InputError):
        return Failure(INPUT, str(error), error.field)
    if isinstance(error, Abstention):
        return Failure(ABSTAINED, error.reason, way_out=error.way_out)
    if isinstance(error, NoUsableDevice):
        return Failure(NO_DEVICE, str(error))
    if isinstance(error, NotMeasured):
        return Failure(NOT_MEASURED, str(error))
    if isinstance(error, MemoryError):
        return Failure(HOST_MEMORY, "")
    first = next(iter(str(error).strip().splitlines()), "")[:MOST_TEXT]
    name = type(error).__name__
    return Failure(CRASH, f"{name}: {first}" if first else name)


def error_of(failure: Failure, phase: str) -> Exception:
    """The exception that a failure, after the start of `phase` (empty: of none), stands for."""
    if failure.kind == INPUT:
        return InputError(failure.message, field=failure.field)
    if failure.kind == ABSTAINED:
        return Abstention(failure.message, way_out=failure.way_out)
    if failure.kind == NO_DEVICE:
        return NoUsableDevice(failure.message)
    if failure.kind == NOT_MEASURED:
        return NotMeasured(failure.message)
    if failure.kind == HOST_MEMORY:
        return NotMeasured(
            f"host memory ran out {during(phase)}; free some, or measure on a machine that has more of it"
        )
    return NotMeasured(f"the training stack failed {during(phase)} ({failure.message}); LORA_PLAN_DEBUG=1 prints where")


def during(phase: str) -> str:
    """When something happened, for the middle of a sentence."""
    return f"while {phase}" if phase else "at its start"

"""Writing to stdout and stderr, whatever they are: terminals, pipes that close early, ASCII, nothing."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TextIO

from planner.errors import InputError


def prepare_streams() -> None:
    """Make every character writable: what an encoding lacks is written as a backslash escape.

    Python has no stream where the caller closed the descriptor (`>&-`); what would go there goes nowhere.
    """
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open as long as the process
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  open as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Write to stdout. A reader that has gone away (`| head`) is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon(sys.stdout)
    except OSError as error:
        abandon(sys.stdout)
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"the output cannot be written ({reason}); write it elsewhere") from None


def write_json(data: dict[str, object]) -> None:
    """Write one JSON document to stdout, in ASCII."""
    import json

    write(json.dumps(data, indent=2) + "\n")


def write_error(message: str) -> None:
    """Write one line to stderr, after the name of the program."""
    line = "".join(char if char.isprintable() else " " for char in message)
    try:
        sys.stderr.write(f"lora-plan: {line}\n")
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)


def abandon(stream: TextIO) -> None:
    """Send what is left in a stream nowhere, so that Python's own flush at exit finds nothing wrong."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

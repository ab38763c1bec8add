"""Files that are written again at every run, and never over what someone else wrote."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from profiler.whole_file import whole_file

SEARCHED = 4096
"""Bytes at the start of a file that are looked through for its mark."""


def check_own(path: Path, mark: str, *, field: str, force: bool = False) -> None:
    """Raise `InputError`, about `field`, where `path` cannot be written, or holds something without `mark`.

    An empty file is nobody's. force: whether to write over anything that is a file.
    """
    name = shown_path(path)
    try:
        if path.is_dir():
            raise InputError(f"{name} is a folder; name a file in it", field=field)
        if not path.parent.is_dir():
            raise InputError(f"{shown_path(path.parent)} is not a folder; make it, or name another file", field=field)
        if force or not path.is_file():
            return
        with path.open("rb") as file:
            start = file.read(SEARCHED)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be written: {_reason(error)}; name another file", field=field) from None
    if start and mark.encode() not in start:
        raise InputError(f"{name} exists and is not lora-plan's; name another file, or remove it", field=field)


def write_own(path: Path, text: str, *, field: str) -> None:
    """Write a file, whole or not at all. Raises `InputError`."""
    write_together({path: as_bytes(text)}, field=field)


def write_together(files: Mapping[Path, bytes], *, field: str) -> None:
    """Write all files; whatever goes wrong before the last byte leaves them all as they were. Raises `InputError`."""
    current = None
    try:
        with ExitStack() as opened:
            for path, content in files.items():
                current = path
                opened.enter_context(whole_file(path)).write(content)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{shown_path(current)} cannot be written: {_reason(error)}; name another file", field=field
        ) from None


def as_bytes(text: str) -> bytes:
    """Text as it is written to a file, whatever characters are in it."""
    return text.encode("utf-8", "backslashreplace")


def _reason(error: OSError | ValueError) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()

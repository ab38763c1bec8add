"""One measurement at a time on a device: two at once would each measure the other."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from planner.errors import NotMeasured
from profiler.simulate.cache import default_folder

_LOOK_EVERY_S = 0.1
_MOST_TEXT = 200
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class DeviceLock:
    """A device that is held, or the reason why it could not be."""

    descriptor: int | None
    """The locked file: the device is free once each process that was given this has closed it or ended."""
    warning: str | None
    """A sentence, where the device is not held."""


@contextmanager
def device_lock(
    name: str, wait_s: float, tell: Callable[[str], None], *, what: str = "", folder: Path | None = None
) -> Generator[DeviceLock]:
    """Hold the device `name` against this user's other measurements.

    Waits for one that is under way, of which `tell` hears a sentence; those that wait for this one hear `what`. The
    lock is the kernel's (flock) on a file of `folder`, by default `locks` in the cache folder. The file stays, and is
    no obstacle: the kernel lets go of it when its holders end. Raises `NotMeasured` when it has waited `wait_s`.
    """
    descriptor, warning = None, None
    try:
        try:
            descriptor = _opened(name, folder)
            _wait(descriptor, name, wait_s, tell)
            _sign(descriptor, what)
        except _NoLock as error:
            warning = f"nothing keeps others from measuring {name} at the same time: {error}"
        yield DeviceLock(None if warning else descriptor, warning)
    finally:
        if descriptor is not None:
            os.close(descriptor)  # LOCK_UN would take it from a process that shares it as well


class _NoLock(Exception):
    """Why a file cannot be locked, and what to do."""


def _opened(name: str, folder: Path | None) -> int:
    cache = default_folder()
    if folder is None and cache is None:
        raise _NoLock("there is no home folder; set LORA_PLAN_CACHE to a folder")
    if folder is None:
        folder = cast("Path", cache).parent / "locks"
    path = folder / f"{re.sub('[^A-Za-z0-9.-]', '_', name)[:_MOST_TEXT]}.lock"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise _NoLock(f"{path} cannot be written ({error.strerror}); set LORA_PLAN_CACHE to another folder") from None


def _wait(descriptor: int, name: str, wait_s: float, tell: Callable[[str], None]) -> None:
    until, told = time.monotonic() + wait_s, ""
    while not _taken(descriptor):
        holder = _holder(descriptor)
        if holder != told and wait_s > 0:
            tell(f"{name} is being measured by {holder}; waiting for it, {wait_s:,.0f} s at most")
            told = holder
        if time.monotonic() >= until:
            raise NotMeasured(
                f"{name} is still being measured by {holder} after {wait_s:,.0f} s; try again when that has ended"
            )
        time.sleep(_LOOK_EVERY_S)


def _taken(descriptor: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        raise _NoLock("this system has no flock; see to it yourself") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some network file systems
        raise _NoLock(
            f"files of the cache folder cannot be locked ({error.strerror}); set LORA_PLAN_CACHE to another folder"
        ) from None
    return True


def _sign(descriptor: int, what: str) -> None:
    """Say in the file who holds it; on a full disk nobody does."""
    since = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = json.dumps({"process": os.getpid(), "since": since, "what": what[:_MOST_TEXT]})
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode("ascii"), 0)


def _holder(descriptor: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
        process, since, what = int(said["process"]), str(said["since"]), str(said["what"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another lora-plan"
    who = f"another lora-plan (process {process}, since {since}{f', {what}' if what else ''})"
    return "".join(character for character in who if character.isprintable())[: 2 * _MOST_TEXT]

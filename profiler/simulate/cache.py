"""Simulations on disk, so that the same run is not simulated twice.

An entry is one file: gzip over two lines, the key and the value, each as JSON. Its name is the SHA-256 of
the key; the key inside must agree as well, and gzip's CRC-32 and length must hold, so that an entry is
either what was put or nothing. The cache never fails a simulation: what goes wrong with the disk is one
sentence in `SimulationCache.warnings`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from planner.units import MIB, format_bytes

MOST_ENTRY_BYTES = 64 * MIB
"""The largest entry, decompressed: more is neither written nor, in a damaged or forged file, unpacked."""

_GZIP = 16 + zlib.MAX_WBITS
_ENTRY = re.compile(r"[0-9a-f]{64}\.jsonl\.gz")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}\.[0-9a-f]+\.tmp")
_ABANDONED_SECONDS = 3600
"""A write takes milliseconds: a temporary file an hour old has lost its writer, whatever clock a server has."""

DAMAGED = "a cached simulation was damaged and is made again"


class _Damaged(Exception):
    """The bytes of an entry are not those that were put under its key."""


class SimulationCache:
    """JSON documents by key, shared by any number of processes, the least recently used out first.

    Keys and values are what JSON can say, with strings as the keys of every mapping; tuples come back as
    lists. Anything else in them is the caller's mistake and raises TypeError.

    Readers take no lock: files appear under their name whole, by `os.replace`. After every `put` there are
    at most `most_entries` (1 or more) entries of at most `most_bytes` (on disk) together. Only files named as this
    class names them are ever removed.
    """

    def __init__(self, folder: Path | None = None, *, most_entries: int = 512, most_bytes: int = 256 * MIB) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.most_entries = most_entries
        self.most_bytes = most_bytes
        self.warnings: list[str] = []
        """What went wrong, one sentence each, each said once."""

    def get(self, key: Mapping[str, object]) -> dict[str, object] | None:
        """The value put under this key; None if there is none, or none that is whole."""
        if self.folder is None:
            return None
        line = _line(key)
        path = self.folder / _file_name(line)
        try:
            with path.open("rb") as file:
                data = file.read(MOST_ENTRY_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self._warn(f"simulations cached in {self.folder} cannot be read ({_reason(error)})")
            return None
        try:
            value = _unpack(data, line)
        except _Damaged:
            self._warn(DAMAGED)
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return value

    def put(self, key: Mapping[str, object], value: Mapping[str, object]) -> None:
        """Keep `value` under `key`, in place of what was there; where that fails, `warnings` says why."""
        if self.folder is None:
            self._warn("the simulation is not kept: there is no home folder; set LORA_PLAN_CACHE to a folder")
            return
        line = _line(key)
        text = line + b"\n" + json.dumps(dict(value), separators=(",", ":")).encode("ascii")
        data = _compress(text) if len(text) <= MOST_ENTRY_BYTES else b""
        for size, most in ((len(text), MOST_ENTRY_BYTES), (len(data), self.most_bytes)):
            if size > most:
                self._warn(f"the simulation is not kept: it takes {format_bytes(size)}, more than {format_bytes(most)}")
                return
        path = self.folder / _file_name(line)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, data)
        except OSError as error:
            self._warn(
                f"the simulation is not kept: {self.folder} cannot be written ({_reason(error)}); "
                "set LORA_PLAN_CACHE to another folder"
            )
            return
        try:
            self._evict(self.folder, newest=path.name)
        except OSError as error:
            self._warn(f"old simulations in {self.folder} cannot be removed ({_reason(error)})")

    def _evict(self, folder: Path, newest: str) -> None:
        """Remove what exceeds the bounds, and what killed writers left; others may be at it as well."""
        now = time.time()
        entries: list[tuple[int, str, int]] = []
        with os.scandir(folder) as files:
            for file in files:
                is_entry = _ENTRY.fullmatch(file.name) is not None
                if not is_entry and not _TEMPORARY.fullmatch(file.name):
                    continue
                try:
                    status = file.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if is_entry:
                    entries.append((status.st_mtime_ns, file.name, status.st_size))
                elif abs(now - status.st_mtime) > _ABANDONED_SECONDS:
                    with suppress(OSError):
                        (folder / file.name).unlink()
        count, total = len(entries), sum(size for _, _, size in entries)
        refused: OSError | None = None
        for _, name, size in sorted(entries):
            if count <= self.most_entries and total <= self.most_bytes:
                return
            # a clock set back makes every older entry look newer than the one just written
            if name == newest:
                continue
            try:
                (folder / name).unlink(missing_ok=True)
            except OSError as error:  # another's file, or one that a reader holds open on Windows
                refused = error
            else:
                count, total = count - 1, total - size
        if refused is not None and (count > self.most_entries or total > self.most_bytes):
            raise refused

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)


def default_folder() -> Path | None:
    """Where simulations are kept; None where no home folder is known.

    The folder `simulations` in `LORA_PLAN_CACHE`, or in `lora-plan` under the platform's cache folder:
    `%LOCALAPPDATA%` on Windows, `~/Library/Caches` on macOS, and elsewhere `XDG_CACHE_HOME` or `~/.cache`
    (XDG Base Directory Specification 0.8, which has relative paths ignored).
    """
    try:
        if own := os.environ.get("LORA_PLAN_CACHE"):
            return Path(own).expanduser() / "simulations"
        return _platform_folder() / "lora-plan" / "simulations"
    except RuntimeError:  # pathlib: "Could not determine home directory."
        return None


def _platform_folder() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return given if given.is_absolute() else Path.home() / ".cache"


def _line(key: Mapping[str, object]) -> bytes:
    """A key as one line: the order of its fields does not matter, and 1, 1.0, True and "1" differ."""
    return json.dumps(dict(key), sort_keys=True, separators=(",", ":")).encode("ascii")


def _file_name(line: bytes) -> str:
    import hashlib  # loads OpenSSL

    return f"{hashlib.sha256(line).hexdigest()}.jsonl.gz"


def _compress(text: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=_GZIP)
    return compressor.compress(text) + compressor.flush()


def _unpack(data: bytes, line: bytes) -> dict[str, object]:
    """The value in the bytes of an entry, if its key is `line`."""
    decompressor = zlib.decompressobj(wbits=_GZIP)
    try:
        text = decompressor.decompress(data, MOST_ENTRY_BYTES + 1)
    except zlib.error:
        raise _Damaged from None
    if not decompressor.eof or decompressor.unused_data or len(text) > MOST_ENTRY_BYTES:
        raise _Damaged
    found, _, rest = text.partition(b"\n")
    if found != line:
        raise _Damaged
    try:
        value: object = json.loads(rest)
    except (ValueError, RecursionError):
        raise _Damaged from None
    if not isinstance(value, dict):
        raise _Damaged
    return cast("dict[str, object]", value)


def _write(path: Path, data: bytes) -> None:
    """Write a file that is only ever seen whole, readable by the user alone."""
    digest = path.name.partition(".")[0]
    temporary = path.with_name(f".{digest}.{os.urandom(8).hex()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__

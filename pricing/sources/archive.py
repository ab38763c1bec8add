"""Reading a zip that may be a bomb, hold paths that lead elsewhere, or be none."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from planner.catalogue.spelling import shown
from planner.units import MIB
from pricing.http import RefreshError

MOST_MEMBERS = 64
LARGEST = 256 * MIB
"""Bytes of all members together, decompressed; a catalogue of all providers has some 30 MiB."""

_PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive."""

    name: str
    data: bytes

    day: date | None
    """When it was written, by the archive."""


def open_members(data: bytes, origin: str, largest: int = LARGEST) -> Iterator[Member]:
    """The files of the archive in `data`, in memory; nothing is written anywhere.

    Raises `RefreshError` about `origin` for what is no whole zip, a name that is a path, a zip within the zip, and more
    bytes than `largest`, whatever the archive says about its sizes.
    """
    left = largest
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MOST_MEMBERS:
                raise RefreshError(f"{origin} holds {len(members):,} files, more than any catalogue; it was not read")
            for info in members:
                _check(info, origin)
                with archive.open(info) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise RefreshError(f"{origin} unpacks to more than any catalogue; it was not read on")
                if content.startswith(b"PK\x03\x04"):
                    raise RefreshError(f"{origin} holds a zip within the zip, which no catalogue does; it was not read")
                yield Member(info.filename, content, _day(info))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        if isinstance(error, RefreshError):
            raise
        raise RefreshError(f"{origin} is not a whole zip ({shown(str(error)).lower()}); fetch it again") from None


def day_of(text: str) -> date | None:
    """The day in text such as `20260915`; None where it is no day."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        return None


def _check(info: zipfile.ZipInfo, origin: str) -> None:
    name = info.filename
    if name in ("", ".", "..") or any(char in name for char in "/\\:") or not name.isprintable():
        raise RefreshError(f"{origin} holds a path ('{shown(name)}') where only names belong; it was not read")
    if info.flag_bits & 1 or info.compress_type not in _PLAIN:
        raise RefreshError(f"{origin} is encrypted or packed in a way that no catalogue is; it was not read")


def _day(info: zipfile.ZipInfo) -> date | None:
    try:
        day = date(*info.date_time[:3])
    except ValueError:
        return None
    return day if day.year >= 2020 else None

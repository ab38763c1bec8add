"""Importing a file of prices: a sheet of one's own, a SkyPilot catalogue, or a gpuhunt catalogue."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from planner.catalogue.files import read_bytes
from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.units import MIB
from pricing.offer import Offer
from pricing.refresh import count_rows
from pricing.sheets import COLUMNS, price_folder, read_sheet, replaces_bundled, write_sheet
from pricing.sources import SOURCES, gpuhunt, skypilot
from pricing.sources.documents import parse_csv

LARGEST_FILE = 128 * MIB
"""Bytes of a file to import; the SkyPilot catalogue of AWS has 4 MB."""

OWN = "sheet of one's own"
SKYPILOT = "SkyPilot catalogue"
GPUHUNT = "gpuhunt catalogue"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was imported."""

    kind: str
    """`OWN`, `SKYPILOT` or `GPUHUNT`."""

    sheet: Path
    """Where it is now."""

    offers: int
    providers: tuple[str, ...]

    left_out: Mapping[str, int]
    """Why rows became no offer, and how many each; empty for a sheet of one's own, which is taken whole or refused."""

    replaced: int | None
    """Offers in the sheet of that name before; None where there was none."""


def import_prices(
    path: Path, today: date, *, name: str | None = None, provider: str | None = None, folder: Path | None = None
) -> Imported:
    """Import a file into the user's sheets; what it is, is told from its content.

    Of a catalogue of others, rows that cannot be used are left out and counted; a sheet of one's own with one wrong row
    is refused, naming the line. `provider` is of a SkyPilot catalogue, which does not say whose it is; `name` is of the
    sheet (by default that of the file). Raises `InputError`.
    """
    folder = price_folder() if folder is None else folder
    sheet = folder / f"{_sheet_name(path, name)}.csv"
    data = _content(path)
    kind = _kind(data, path)
    if provider is not None and kind != SKYPILOT:
        raise InputError(
            f"{shown_path(path)} is a {kind}, which names its providers; leave out --provider", field="provider"
        )
    left_out: Mapping[str, int] = {}
    if kind == OWN:
        offers = read_sheet(path, today=today).offers
    elif kind == SKYPILOT:
        offers, left_out = _skypilot(data, path, provider)
    else:
        offers, left_out = _gpuhunt(data, path, today)
    if not offers:
        why = "; ".join(f"{count:,} {reason}" for reason, count in left_out.items())
        raise InputError(
            f"{shown_path(path)} has no price that can be used ({why or 'no rows'}); give another file", field="file"
        )
    replaced = count_rows(sheet)
    write_sheet(sheet, offers)
    return Imported(
        kind=kind,
        sheet=sheet,
        offers=len(offers),
        providers=tuple(sorted({offer.provider for offer in offers})),
        left_out=left_out,
        replaced=replaced,
    )


def _sheet_name(path: Path, name: str | None) -> str:
    if name is None:
        return f"imported-{re.sub('[^A-Za-z0-9._-]+', '-', path.stem)[:50].strip('-.') or 'prices'}"
    if not _NAME.fullmatch(name):
        raise InputError(
            f"'{shown(name)}' is no name of a sheet; give up to 60 letters, digits, dots, dashes and underscores",
            field="name",
        )
    if replaces_bundled(name) or any(name in (source.provider, source.name) for source in SOURCES):
        raise InputError(
            f"'{name}' is the name of a sheet that `prices refresh` writes; give another one with --name", field="name"
        )
    return name


def _content(path: Path) -> bytes:
    try:
        too_large = path.is_file() and path.stat().st_size > LARGEST_FILE
    except (OSError, ValueError):
        too_large = False
    if too_large:
        raise InputError(
            f"{shown_path(path)} has more than {LARGEST_FILE // MIB} MiB, as no list of prices has; give another file",
            field="file",
        )
    return read_bytes(path, field="file", largest=LARGEST_FILE)


def _kind(data: bytes, path: Path) -> str:
    if data.startswith(b"PK"):
        return GPUHUNT
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:4096]
    if not first:
        raise InputError(f"{shown_path(path)} is empty; give a file of prices", field="file")
    header = first.splitlines()[0].decode("utf-8", "replace")
    columns = {column.strip().strip('"') for column in header.split(",")}
    if {"InstanceType", "Price"} <= columns:
        return SKYPILOT
    if columns >= {"instance_name", "location"}:
        raise InputError(
            f"{shown_path(path)} is one file of a gpuhunt catalogue; give the zip that it came in", field="file"
        )
    if len(columns & set(COLUMNS)) >= 2:
        return OWN
    what = "a web page" if header.startswith("<") else "none of the kinds known here"
    raise InputError(
        f"{shown_path(path)} is {what}; give a CSV with the columns {', '.join(COLUMNS[:7])} and so on, a vms.csv of "
        "the SkyPilot catalogue, or a catalog.zip of gpuhunt",
        field="file",
    )


def _skypilot(data: bytes, path: Path, provider: str | None) -> tuple[tuple[Offer, ...], Mapping[str, int]]:
    if provider is None:
        raise InputError(
            f"{shown_path(path)} is a SkyPilot catalogue, which does not say of which cloud; add --provider, as in "
            "--provider aws",
            field="provider",
        )
    cloud = provider.strip().lower()
    if not _PROVIDER.fullmatch(cloud):
        raise InputError(f"'{shown(provider)}' is no name of a provider; give one such as aws", field="provider")
    origin = shown(path.name)
    fetched = skypilot.parse(parse_csv(data, origin, skypilot.COLUMNS), cloud, origin, None)
    return fetched.offers, fetched.left_out


def _gpuhunt(data: bytes, path: Path, today: date) -> tuple[tuple[Offer, ...], Mapping[str, int]]:
    origin = shown(path.name)
    offers: list[Offer] = []
    left_out: Counter[str] = Counter()
    for fetched in gpuhunt.parse_archive(data, origin, today).values():
        offers += fetched.offers
        left_out.update(fetched.left_out)
    return tuple(offers), dict(left_out)

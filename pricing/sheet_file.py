"""Sheets: CSV files of offers, a price a line, with the fields of `Offer` as columns."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TextIO

from planner.catalogue import find_gpu, list_gpus
from planner.catalogue.files import read_bytes
from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.units import MIB
from pricing.offer import Offer
from pricing.wanted import ANY, Wanted

COLUMNS = tuple(field.name for field in fields(Offer))
"""The columns of a sheet, in the order they are written in."""

REQUIRED = ("provider", "instance_type", "gpu_count", "market", "usd_per_hour", "source")
"""Columns that a sheet cannot be without; it needs `gpu` or `gpu_name` besides."""

LARGEST_FILE = 64 * MIB
"""Bytes that a sheet may have; the bundled ones have 0.3 MB together."""

_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
"""What spreadsheets take the beginning of a formula for (OWASP, CSV Injection), and the apostrophe that says it is
none."""

_NO_CELLS: list[str] = []
_PRICE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,30})?")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,30})?")
_WHOLE = re.compile(r"[0-9]{1,9}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Key = tuple[str, str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was read of a file."""

    offers: tuple[Offer, ...]
    providers: frozenset[str]
    """Of all rows, also of those that were not asked for."""


def read_sheet(path: Path, wanted: Wanted = ANY, today: date | None = None) -> Sheet:
    """The offers of a sheet for the wanted cards and providers; what else is wanted is not looked at.

    Columns may be in any order; those that are not required may be missing. Of several rows of the same price (`key`)
    the one with the newest date is kept. Rows for other cards and providers are skipped without being checked.

    Raises `InputError` naming the line and column at fault: also for a date after `today`, where that is given, for a
    column that is no field of an offer (a price in another currency, say), and for two rows that give different prices
    for the same thing on the same day.
    """
    name = shown_path(path)
    # strict: a quote that is never closed is an error, and not a cell as long as the file
    reader = csv.reader(io.StringIO(_text(path, name), newline=""), strict=True)
    kept: dict[Key, tuple[int, Offer]] = {}
    providers: set[str] = set()
    line = 1
    try:
        header = [column.strip() for column in next(reader, _NO_CELLS)]
        rows = _Rows(header, name, today)
        line = reader.line_num + 1
        for row in reader:
            if any(row):
                provider, gpu = rows.what(row, line)
                providers.add(provider)
                if (not wanted.gpus or gpu in wanted.gpus) and (not wanted.providers or provider in wanted.providers):
                    _keep(kept, rows.offer(row, provider, gpu, line), line, name)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {line} is not CSV ({error}); correct the quotes there") from None
    return Sheet(tuple(offer for _, offer in kept.values()), frozenset(providers))


def write_sheet(path: Path, offers: Iterable[Offer]) -> None:
    """Write a sheet that `read_sheet` reads back as it is: all of it or, whatever goes wrong, nothing.

    Makes the folder where there is none. Cells that a spreadsheet would take for a formula get an apostrophe before
    them. Of several prices of the same thing the newest is written. Raises `InputError` where two are of the same day,
    which could not be read back, and where the file cannot be written.
    """
    kept: dict[Key, tuple[int, Offer]] = {}
    for line, offer in enumerate(offers, start=2):
        _keep(kept, offer, line, shown_path(path))
    temporary = path.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8", newline="") as file:
                _write(file, (offer for _, offer in kept.values()))
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{shown_path(path)} cannot be written ({reason}); free it, or set LORA_PLAN_PRICES") from None


def key(offer: Offer) -> Key:
    """What an offer is the price of: two with the same key are two prices of one thing."""
    card = offer.gpu or offer.gpu_name
    return offer.provider, offer.instance_type, card, offer.gpu_count, offer.market, offer.region


def newest(offers: Iterable[Offer]) -> Iterator[Offer]:
    """One offer for each key: that with the newest date, and of those with the same date the last."""
    kept: dict[Key, Offer] = {}
    for offer in offers:
        before = kept.get(key(offer))
        if before is None or _day(offer) >= _day(before):
            kept[key(offer)] = offer
    yield from kept.values()


def safe_cell(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_RISKY) else text


class _Rows:
    """Makes offers of the rows below one header."""

    def __init__(self, header: list[str], name: str, today: date | None) -> None:
        self.name = name
        self.width = len(header)
        # a day ahead somewhere in the world is no date of the future
        self.last_day = today + timedelta(days=1) if today is not None else date.max
        columns = _checked(header, name)
        self.index = {column: columns.index(column) if column in columns else None for column in COLUMNS}
        self.cards: dict[str, str | None] = dict(_catalogued())

    def what(self, row: list[str], line: int) -> tuple[str, str | None]:
        """The provider of a row, and its card: all that most rows are read for."""
        if len(row) > self.width and any(row[self.width :]):
            raise self.wrong(line, f"has {len(row)} cells under {self.width} columns; put one with a comma in quotes")
        gpu = self.cell(row, "gpu")
        if gpu not in self.cards:
            self.cards[gpu] = self.card(gpu, line)
        return self.cell(row, "provider").lower(), self.cards[gpu]

    def offer(self, row: list[str], provider: str, gpu: str | None, line: int) -> Offer:
        as_of = self.day(row, line)
        price = self.matching(row, line, "usd_per_hour", _PRICE, "US dollars as a number above 0, such as 1.99")
        count = self.matching(row, line, "gpu_count", _WHOLE, "a whole number from 1")
        vcpus = self.matching(row, line, "vcpus", _WHOLE, "a whole number")
        ram = self.matching(row, line, "ram_gib", _NUMBER, "a number of GiB")
        memory = self.matching(row, line, "gpu_memory_gib", _NUMBER, "a number of GiB")
        for column, cell in (("usd_per_hour", price), ("gpu_count", count)):
            if not cell:
                raise self.wrong(line, f"has no {column}; fill it in, or leave out the row")
        try:
            return Offer(
                provider=provider,
                instance_type=self.cell(row, "instance_type"),
                gpu=gpu,
                gpu_name=self.cell(row, "gpu_name") or gpu or "",
                gpu_count=int(count),
                market=self.cell(row, "market").lower(),
                usd_per_hour=Decimal(price),
                region=self.cell(row, "region"),
                as_of=as_of,
                source=self.cell(row, "source"),
                vcpus=int(vcpus) if vcpus else None,
                ram_gib=float(ram) if ram else None,
                gpu_memory_gib=float(memory) if memory else None,
                note=self.cell(row, "note"),
            )
        except InputError as error:
            raise InputError(f"{self.name}, line {line}: {error}", field=error.field) from None

    def cell(self, row: list[str], column: str) -> str:
        index = self.index[column]
        text = row[index].strip(" ") if index is not None and index < len(row) else ""
        # the apostrophe that `safe_cell` put there
        return text[1:] if text.startswith("'") and text[1:].startswith(_RISKY) else text

    def matching(self, row: list[str], line: int, column: str, pattern: re.Pattern[str], allowed: str) -> str:
        cell = self.cell(row, column)
        if cell and not pattern.fullmatch(cell):
            raise self.wrong(line, f": {column} must be {allowed}, not '{shown(cell)}'; correct it")
        return cell

    def day(self, row: list[str], line: int) -> date | None:
        cell = self.cell(row, "as_of")
        if not cell:
            return None
        try:
            day = date.fromisoformat(cell) if _DAY.fullmatch(cell) else None
        except ValueError:
            day = None
        if day is None:
            raise self.wrong(line, f": as_of must be a day such as 2026-11-22, not '{shown(cell)}'; correct it")
        if day > self.last_day:
            raise self.wrong(line, f": as_of is {day}, which is in the future; give the day the price was seen on")
        return day

    def card(self, cell: str, line: int) -> str:
        try:
            match = find_gpu(cell)
        except InputError as error:
            raise self.wrong(line, f": {error}; leave gpu blank for a card that is not in the catalogue") from None
        if match.note is not None:
            raise self.wrong(line, f": {match.note}; name the card that is meant")
        return match.gpu.name

    def wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self.name}, line {line}{what if what.startswith(':') else ' ' + what}", field="prices")


@cache
def _catalogued() -> dict[str, str | None]:
    """Cells of the column `gpu` as sheets are written, and the cards they name."""
    return {gpu.name: gpu.name for gpu in list_gpus()} | {"": None}


def _keep(kept: dict[Key, tuple[int, Offer]], offer: Offer, line: int, name: str) -> None:
    first, before = kept.setdefault(key(offer), (line, offer))
    if before.as_of == offer.as_of and before.usd_per_hour != offer.usd_per_hour:
        raise InputError(
            f"{name}, line {line} gives {offer.usd_per_hour} USD for what line {first} gives {before.usd_per_hour} USD "
            "for, of the same day; remove one",
            field="prices",
        )
    if _day(offer) > _day(before):
        kept[key(offer)] = (line, offer)


def _day(offer: Offer) -> date:
    return offer.as_of or date.min


def _text(path: Path, name: str) -> str:
    content = read_bytes(path, field="prices", largest=LARGEST_FILE)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is not text in UTF-8; give a CSV file", field="prices") from None
    if "\0" in text:
        raise InputError(f"{name} is not text: it has NUL characters; give a CSV file", field="prices")
    if not text.strip():
        raise InputError(f"{name} is empty; give a CSV file whose first line names the columns", field="prices")
    return text


def _checked(header: list[str], name: str) -> list[str]:
    """The columns of a header, or what is wrong with it."""
    unknown = [column for column in header if column and column not in COLUMNS]
    missing = [column for column in REQUIRED if column not in header]
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if len(missing) == len(REQUIRED):
        raise InputError(
            f"{name} is no sheet of offers: its first line has none of the columns {', '.join(REQUIRED)}",
            field="prices",
        )
    if twice is not None:
        raise InputError(f"{name} has the column {shown(twice)} twice; remove one", field="prices")
    if unknown:
        raise InputError(
            f"{name} has the column '{shown(unknown[0])}', which no offer has; its columns are {', '.join(COLUMNS)}, "
            "and prices are in US dollars",
            field="prices",
        )
    if not {"gpu", "gpu_name"} & set(header):
        missing.append("gpu")
    if missing:
        raise InputError(
            f"{name} lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}; add them", field="prices"
        )
    return header


def _write(file: TextIO, offers: Iterable[Offer]) -> None:
    # ending lines as RFC 4180 has it makes the writer quote both characters in cells
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for offer in offers:
        writer.writerow([safe_cell(_cell(getattr(offer, column))) for column in COLUMNS])


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f").removesuffix(".0")
    return format(value, "f") if isinstance(value, Decimal) else str(value)  # never 1E+1

"""Where prices come from: the bundled sheets, and the user's own that were refreshed or imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

from planner.errors import InputError
from planner.places import data_place
from pricing.offer import Offer
from pricing.providers import list_providers
from pricing.sheet_file import COLUMNS, Sheet, newest, read_sheet, safe_cell, write_sheet
from pricing.wanted import ANY, Wanted

__all__ = [
    "BUNDLED",
    "COLUMNS",
    "Sheet",
    "offers",
    "price_folder",
    "read_sheet",
    "replaces_bundled",
    "safe_cell",
    "user_sheets",
    "write_sheet",
]

BUNDLED = Path(__file__).parent / "data" / "offers"
"""One sheet for each provider, named after it."""

CATALOGUES = frozenset({"gpuhunt", "skypilot"})
"""Sources of refreshed prices of many providers; the others are providers themselves."""


def offers(wanted: Wanted = ANY, *, folder: Path | None = None, today: date | None = None) -> tuple[Offer, ...]:
    """The offers that are wanted, of the bundled sheets and of those in `folder` (by default the user's).

    A refreshed sheet (`replaces_bundled`) stands in for the bundled prices of all providers in it; an imported one adds
    to them. Where two prices are of the same thing, the newer one is taken, and of two of the same day the user's own.
    Raises `InputError` naming the file and line for a sheet of the user's that cannot be read; dates after `today` (by
    default this day) are refused in them.
    """
    today = today or date.today()
    replaced: set[str] = set()
    own: list[Offer] = []
    for path in user_sheets(folder):
        sheet = read_sheet(path, wanted, today)
        own += sheet.offers
        if replaces_bundled(path.stem):
            replaced |= sheet.providers
    bundled: list[Offer] = []
    for path in sorted(BUNDLED.glob("*.csv")):
        if path.stem not in replaced and (not wanted.providers or path.stem in wanted.providers):
            bundled += read_sheet(path, wanted).offers
    return tuple(wanted.of(newest([*bundled, *own])))


def price_folder(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the user's sheets are: LORA_PLAN_PRICES, or else the platform's folder for data of programs.

    The folder need not exist. Raises `InputError` where neither is known.
    """
    return data_place("prices", "prices", "a folder", environment, platform)


def user_sheets(folder: Path | None = None) -> list[Path]:
    """The user's sheets, by name; hidden files, which are being written, are none."""
    if folder is None:
        with suppress(InputError):
            folder = price_folder()
    try:
        found = [] if folder is None else list(folder.iterdir())
    except OSError:  # no such folder, most often
        return []
    return sorted(path for path in found if path.suffix == ".csv" and not path.name.startswith("."))


def replaces_bundled(name: str) -> bool:
    """Whether a sheet of that name is a refreshed one: it is named after a provider, or a catalogue of several."""
    return name in CATALOGUES or any(provider.id == name for provider in list_providers())

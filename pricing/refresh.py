"""Refreshing the user's sheets of prices from their sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from planner.catalogue.spelling import shown
from planner.errors import InputError
from planner.names import did_you_mean
from pricing.http import RefreshError
from pricing.sheets import read_sheet, write_sheet
from pricing.sources import SOURCES, Fetched, Get, Source

LEAST_KEPT = 0.1
"""Of the rows of before: a source that gives fewer is taken for broken."""

Tell = Callable[[str, float], None]
"""Told the source that is next, and the share of the work done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of refreshing one source."""

    source: str
    provider: str

    sheet: Path

    offers: int | None
    """In the sheet now; None where it was left as it was."""

    before: int | None
    """In the sheet of before; None where there was none, or none that can be read."""

    left_out: Mapping[str, int]
    """Why rows of the source became no offer, and how many each."""

    error: str | None
    """Why the sheet was left as it was, in one sentence."""


def choose(names: Sequence[str], sources: Sequence[Source] = SOURCES) -> list[Source]:
    """The sources of these names, which may be providers and catalogues too; all of them without any.

    Raises `InputError` for a name that is none.
    """
    wanted = [name.strip().lower() for name in names]
    for name in wanted:
        known = dict.fromkeys(word for source in sources for word in _names(source))
        if name not in known:
            short = sorted({word for source in sources for word in (source.provider, source.catalogue)})
            raise InputError(
                f"there is no source of prices '{shown(name)}'; give one of {', '.join(short)}"
                f"{did_you_mean(name, tuple(known))}",
                field="source",
            )
    return [source for source in sources if not wanted or any(name in wanted for name in _names(source))]


def refresh(sources: Iterable[Source], get: Get, folder: Path, today: date, tell: Tell) -> list[Outcome]:
    """Fetch each source and replace its sheet in `folder`, or leave the sheet of before where that fails."""
    todo = list(sources)
    outcomes: list[Outcome] = []
    for done, source in enumerate(todo):
        tell(f"fetching {source.name}", done / len(todo))
        outcomes.append(_refresh(source, get, folder / f"{source.provider}.csv", today))
    return outcomes


def count_rows(sheet: Path) -> int | None:
    """The offers in a sheet; None where there is no sheet, or none that can be read."""
    try:
        return len(read_sheet(sheet).offers)
    except InputError:
        return None


def _refresh(source: Source, get: Get, sheet: Path, today: date) -> Outcome:
    before = count_rows(sheet)
    fetched = Fetched((), {})
    try:
        fetched = source.fetch(get, today)
        _check(fetched, before, sheet, source)
        write_sheet(sheet, fetched.offers)
    except InputError as error:
        written, why = None, str(error)
    else:
        written, why = len(fetched.offers), None
    return Outcome(
        source=source.name,
        provider=source.provider,
        sheet=sheet,
        offers=written,
        before=before,
        left_out=fetched.left_out,
        error=why,
    )


def _check(fetched: Fetched, before: int | None, sheet: Path, source: Source) -> None:
    count = len(fetched.offers)
    if not count:
        raise RefreshError(f"{source.name} gives no price that can be used; look for a newer release")
    if before is not None and count < LEAST_KEPT * before:
        raise RefreshError(
            f"{source.name} gives {count:,} prices where there were {before:,}, which is taken for a fault; "
            f"remove {shown(os.fspath(sheet), 1000)} to take them all the same"
        )


def _names(source: Source) -> tuple[str, ...]:
    return tuple(dict.fromkeys((source.name, source.provider, source.catalogue)))

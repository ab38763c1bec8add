"""The tables below a comparison's sentence. GiB is 1024**3 bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reports.comparison.comparison import Change, Comparison
from reports.comparison.sentence import dollars, signed_dollars, signed_duration
from reports.comparison.sides import Planned
from reports.components import component, instant
from reports.documents.blocks import Block, Bullets, Code, Paragraph, Strong, Table, Words
from reports.figures import gib_number, signed_gib
from reports.plan_words import card_name
from reports.time import duration
from reports.trainer_config import in_words, shown_value

if TYPE_CHECKING:
    from pricing.quote import Quote


def details(comparison: Comparison) -> tuple[Block, ...]:
    """Memory component by component, each level, time, cost, and the fields of the run that differ."""
    return (
        _memory(comparison),
        Paragraph(_peaks(comparison)),
        *_time_and_cost(comparison),
        *_fields(comparison),
    )


def uncounted(planned: Planned) -> Bullets | None:
    """The warning for settings that move memory and are in no figure; None where there are none."""
    items: list[Words] = [(Strong("not counted"), f": {words}") for words in in_words(planned.uncounted)]
    return Bullets(tuple(items)) if items else None


def _memory(comparison: Comparison) -> Table:
    rows = [
        _gib_row(component(name).label, change) for name, change in comparison.components if change.base or change.other
    ]
    rows += [_gib_row(f"{name} at the peak", change) for name, change in comparison.levels]
    gpus = comparison.base.plan.gpu, comparison.other.plan.gpu
    if gpus[0] is not None and gpus[1] is not None:
        rows.append(_gib_row("usable", Change(gpus[0].usable_bytes, gpus[1].usable_bytes)))
    return Table(("GiB", "base", "other", "change"), tuple(rows))


def _gib_row(label: str, change: Change[int]) -> tuple[str, str, str, str]:
    return label, gib_number(change.base), gib_number(change.other), signed_gib(change.difference)


def _peaks(comparison: Comparison) -> str:
    before, after = (instant(side.plan.memory.instant) for side in (comparison.base, comparison.other))
    if before == after:
        return f"Both peaks are at: {after}."
    return f"The base peaks at: {before}; the other at: {after}."


def _time_and_cost(comparison: Comparison) -> Iterable[Block]:
    rows: list[tuple[str, str, str, str]] = []
    if comparison.step_s is not None:
        rows.append(_duration_row("an optimizer step", comparison.step_s))
    what = "the job" if comparison.of_job else "a million tokens"
    if comparison.hours is not None:
        rows.append(_duration_row(what, Change(3600 * comparison.hours.base, 3600 * comparison.hours.other)))
    if comparison.usd is not None:
        usd = comparison.usd
        rows.append((f"cost of {what}", dollars(usd.base), dollars(usd.other), signed_dollars(usd.difference)))
    if rows:
        yield Table(("Time and cost", "base", "other", "change"), tuple(rows))
    quotes = {"base": comparison.base.cheapest, "other": comparison.other.cheapest}
    priced = [f"{name}: {_offer(quoted)}" for name, quoted in quotes.items() if quoted is not None]
    if priced:
        yield Paragraph(f"On the cheapest offers, {'; '.join(priced)}.")
    elif comparison.other.plan.gpu is not None and comparison.other.plan.time is not None:
        yield Paragraph(f"No offer of {card_name(comparison.other.plan.gpu)} is known.")


def _duration_row(label: str, change: Change[float]) -> tuple[str, str, str, str]:
    more = change.difference
    return label, duration(change.base), duration(change.other), signed_duration(more) if more else "0"


def _offer(quoted: Quote) -> str:
    offer = quoted.offer
    seen = f"seen on {offer.as_of.isoformat()}" if offer.as_of else "of no known day"
    old = ", an old price" if quoted.stale else ""
    return (
        f"{offer.provider} {offer.market} at ${offer.usd_per_hour:,.2f} an hour, {seen}{old}, "
        f"{dollars(quoted.low_usd)} to {dollars(quoted.high_usd)}"
    )


def _fields(comparison: Comparison) -> Iterable[Block]:
    if comparison.fields:
        rows = tuple((Code(field.name), _value(field.base), _value(field.other)) for field in comparison.fields)
        yield Table(("Field of the run", "base", "other"), rows, left=3)
    else:
        yield Paragraph("No field of the run differs.")


def _value(value: object) -> Words:
    return "does not apply" if value is None else Code(shown_value(value))

"""Predicted beside measured speeds, for people."""

from __future__ import annotations

from collections.abc import Sequence

from planner.time.spread import COVERAGE
from profiler.speed.score import Speed, SpeedScore
from profiler.speed.summary import ALL, SpeedFigures, SpeedSummary
from reports.figures import columns, share, signed_share
from reports.page import Page
from reports.validation_cells import headings, or_none, reason_lines, size
from reports.validation_rows import printable, run_line

_HEAD = ["", "rows", "scored", "bias", "median", "90th", "worst", "held", "width"]
_LEGEND = (
    "error: predicted / measured tokens per second - 1, above 0 too fast; held: rows measured within the interval of "
    f"{COVERAGE:.0%}; width: half of it, at the median"
)
_SHIPPED = "fitted on these rows too"
_HELD_OUT = "each row by the other sources alone"


def speed_sections(summary: SpeedSummary, page: Page, *, alone: bool) -> list[list[str]]:
    """The figures; why rows were abstained from only where speeds are shown alone, since peaks share most reasons."""
    totals = [figures for figures in summary.shipped if figures.source is None and figures.group == ALL]
    [total] = totals or summary.shipped
    title = f"Speeds beside {total.rows:,} measured {'one' if total.rows == 1 else 'ones'}: {total.scored:,} scored"
    sections = [[*headings(title, page), *_tables(summary, page)]]
    if alone and summary.reasons:
        abstained = f"Abstained from {total.rows - total.scored:,} of {total.rows:,} rows"
        sections.append([*headings(abstained, page), *reason_lines(summary.reasons, page)])
    return sections


def _tables(summary: SpeedSummary, page: Page) -> list[str]:
    groups = [("", summary.shipped)]
    if summary.held_out:
        groups = [(_HELD_OUT, summary.held_out), (_SHIPPED, summary.shipped)]
    rows = [_cells(figures) for _, items in groups for figures in items]
    tables = [columns([_HEAD, *rows], gap=gap) for gap in (2, 1)]
    table = next((table for table in tables if len(table[0]) + 4 <= page.width), None)
    lines = iter(table[1:] if table else ())
    shown = [page.style(f"    {table[0]}", "dim")] if table else []
    for title, items in groups:
        shown += page.wrap(title) if title else []
        for figures in items:
            line = [f"    {next(lines)}"] if table else page.wrap(_sentence(figures), first="    ")
            shown += line if figures.source is not None else [page.style(text, "bold") for text in line]
    return [*shown, *(page.style(line, "dim") for line in page.wrap(_LEGEND))]


def _cells(figures: SpeedFigures) -> list[str]:
    name = figures.group if figures.source is None else printable(figures.source) or "no source"
    return [
        name,
        f"{figures.rows:,}",
        f"{figures.scored:,}",
        or_none(figures.sign, signed_share),
        or_none(figures.median, size),
        or_none(figures.p90, size),
        or_none(figures.worst, signed_share),
        share(figures.held, figures.scored) if figures.scored else "–",
        or_none(figures.half_width, size),
    ]


def _sentence(figures: SpeedFigures) -> str:
    name, *cells = _cells(figures)
    return f"{name}: {', '.join(f'{head} {cell}' for head, cell in zip(_HEAD[1:], cells, strict=True))}"


def speed_section(place: int, row: SpeedScore, page: Page) -> list[str]:
    """A row's name and error; under it its run, its speeds, and where its step's seconds go."""
    error = row.error if row.held_out is None else row.held_out_error
    source = f" ({printable(row.source)})" if row.source else ""
    title = f"{place}. {printable(row.id, 200)}{source}: {signed_share(error or 0.0)}"
    terms = ", ".join(f"{term.name} {term.seconds:,.3g} s" for term in row.terms)
    sentences = [
        run_line(row.run.run, row.method, row.gpu or None) if row.run else "",
        f"tokens per second and GPU: measured {row.measured or 0:,.0f}, predicted {_speed(row.predicted)}"
        + (f"; by the other sources alone {_speed(row.held_out)}" if row.held_out else ""),
        f"a step as predicted: {terms}",
    ]
    return [
        *(page.heading(line) for line in page.wrap(title, first="", rest="   ")),
        *(line for sentence in sentences if sentence for line in page.wrap(sentence, first="   ")),
    ]


def _speed(speed: Speed | None) -> str:
    return "–" if speed is None else f"{speed.tokens_per_s:,.0f} ({speed.low:,.0f}–{speed.high:,.0f})"


def furthest(scores: Sequence[SpeedScore], count: int) -> list[SpeedScore]:
    """The `count` rows with the largest errors, without their source where that is known, the worst first."""
    scored = [row for row in scores if row.error is not None]
    return sorted(scored, key=_distance, reverse=True)[:count]


def _distance(row: SpeedScore) -> float:
    error = row.error if row.held_out is None else row.held_out_error
    return abs(error or 0.0)

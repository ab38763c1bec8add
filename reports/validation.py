"""An engine's scoreboard for people: how near it comes to measured runs, by level and source."""

from __future__ import annotations

from collections.abc import Sequence

from profiler.speed.score import SpeedScore
from profiler.speed.summary import SpeedSummary
from profiler.validate.summary import Figures, Summary
from profiler.validate.worst import Explained
from reports.figures import columns, share, signed_share
from reports.page import Page
from reports.sections import joined, list_section
from reports.validation_cells import headings, or_none, reason_lines, size
from reports.validation_rows import printable, row_section
from reports.validation_speeds import speed_section, speed_sections

_ENGINES = {"plan": "Estimates", "simulate": "Simulations"}
_HEAD = ["", "rows", "scored", "bias", "median", "90th", "worst", "low", "held", "width"]
_LEGEND = (
    "error: predicted / measured - 1; bias: the median error; median and 90th percentile: of the errors' sizes; "
    "low: rows predicted more than 5% too low; held: rows measured within the stated interval; width: half of the "
    "interval, at the median"
)


def validation_text(
    engine: str,
    summary: Summary,
    worst: Sequence[Explained],
    regressions: Sequence[str] | None,
    page: Page,
    speeds: SpeedSummary | None = None,
    worst_speeds: Sequence[SpeedScore] = (),
) -> str:
    """The whole view of a validation, within the page's width: of peaks, and of speeds where they are given.

    `regressions` is what became worse than the committed scoreboard; None where that was not asked for.
    """
    peaks = bool(summary.levels)
    sections = [
        [*_title(engine, summary, page), *_figures(summary, page)] if peaks else [],
        _abstained(summary, page),
        *(row_section(place, row, page) for place, row in enumerate(worst, start=1)),
        *(speed_sections(speeds, page, alone=not peaks) if speeds else []),
        *(speed_section(place, row, page) for place, row in enumerate(worst_speeds, start=1)),
        _checked(regressions, page),
    ]
    return page.finish(joined(sections))


def _title(engine: str, summary: Summary, page: Page) -> list[str]:
    rows = sum(level.rows for level in summary.levels)
    scored = sum(level.scored for level in summary.levels)
    title = f"{_ENGINES[engine]} beside {rows:,} measured {'run' if rows == 1 else 'runs'}: {scored:,} scored"
    return headings(title, page)


def _figures(summary: Summary, page: Page) -> list[str]:
    """A line for each source, and one for all of them, under their level."""
    groups = [(level.level, _at(level, summary)) for level in summary.levels]
    rows = [[_source(item), *_cells(item)] for _, items in groups for item in items]
    tables = [columns([_HEAD, *rows], gap=gap) for gap in (2, 1)]
    table = next((table for table in tables if len(table[0]) + 4 <= page.width), None)
    lines = iter(table[1:] if table else ())
    shown = [page.style(f"    {table[0]}", "dim")] if table else []
    for level, items in groups:
        shown += page.wrap(printable(level) or "level not stated")
        for item in items:
            line = [f"    {next(lines)}"] if table else page.wrap(_sentence(item), first="    ")
            shown += [page.style(text, "bold") for text in line] if item.source is None else line
    return [*shown, *(page.style(line, "dim") for line in page.wrap(_LEGEND))]


def _at(level: Figures, summary: Summary) -> list[Figures]:
    """The sources of a level, and all of them where they are several."""
    sources = [item for item in summary.sources if item.level == level.level]
    return [*sources, level] if len(sources) > 1 else sources


def _source(item: Figures) -> str:
    return "all" if item.source is None else printable(item.source) or "no source"


def _cells(item: Figures) -> list[str]:
    return [
        f"{item.rows:,}",
        f"{item.scored:,}",
        or_none(item.sign, signed_share),
        or_none(item.median, size),
        or_none(item.p90, size),
        or_none(item.worst, signed_share),
        share(item.too_low, item.scored) if item.scored else "–",
        share(item.held, item.intervals) if item.intervals else "–",
        or_none(item.half_width, size),
    ]


def _sentence(item: Figures) -> str:
    cells = zip(_HEAD[1:], _cells(item), strict=True)
    return f"{_source(item)}: {', '.join(f'{head} {cell}' for head, cell in cells)}"


def _abstained(summary: Summary, page: Page) -> list[str]:
    """How many rows are not predicted, and why."""
    rows, abstained, covered, of_covered = (
        sum(getattr(level, name) for level in summary.levels)
        for name in ("rows", "abstained", "covered", "abstained_covered")
    )
    if not abstained:
        return []
    title = f"Abstained from {abstained:,} of {rows:,} rows"
    if 0 < covered < rows:
        part = f"{of_covered:,} of the {covered:,} ({share(of_covered, covered)})"
        title += f"; from {part} whose method, kernels and strategy it has"
    return [*headings(title, page), *reason_lines(summary.reasons, page)]


def _checked(regressions: Sequence[str] | None, page: Page) -> list[str]:
    if regressions is None:
        return []
    return list_section("Worse than the committed scoreboard", regressions, page) or headings(
        "No worse than the committed scoreboard", page
    )

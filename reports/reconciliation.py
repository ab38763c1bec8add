"""An estimate, a simulation and a measurement side by side, with what they are apart by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from profiler.reconcile import STANDS_OUT, Line, Reconciliation
from reports.components import component, instant, instant_short
from reports.figures import columns, signed_share
from reports.page import Page
from reports.scale import Scale, scale_of

_BASES = {
    "formula": ("estimate", "est."),
    "simulation": ("simulation", "sim."),
    "measurement": ("measurement", "meas."),
}
"""Basis -> how its column is headed, and how where the page is narrow."""


class Row(NamedTuple):
    """One line of a table: how it is called, and whether it is far apart."""

    label: str
    short: str
    line: Line
    marked: bool


class Group(NamedTuple):
    """Rows under one title."""

    title: str
    rows: list[Row]


class _Layout(NamedTuple):
    decimals: int
    shares: bool
    short: bool
    gap: int


_LAYOUTS = (
    _Layout(2, True, False, 2),
    _Layout(2, True, True, 2),
    _Layout(2, True, True, 1),
    _Layout(1, True, True, 1),
    _Layout(1, False, True, 1),
)
"""From the widest page to the narrowest; where the last is too wide, each row is a sentence."""


def reconciliation_section(reconciliation: Reconciliation, page: Page, *, note: str = "") -> list[str]:
    """Levels, instants and the components at the last column's peak, in GiB or MiB; `note` stands below them."""
    groups = reconciled_groups(reconciliation)
    scale = scale_of(size or 0 for size in reconciliation.levels[0].bytes)
    longs = column_titles(reconciliation)
    shorts = column_titles(reconciliation, short=True)
    title = " beside ".join(filter(None, [" and ".join(longs[:-1]), longs[-1]]))
    table = next(filter(None, (_table(groups, longs, shorts, layout, scale, page) for layout in _LAYOUTS)), None)
    return [
        *(page.heading(line) for line in page.wrap(f"{title[:1].upper()}{title[1:]}, in {scale.name}", first="")),
        *(table or _sentences(groups, longs, scale, page)),
        *(page.style(line, "dim") for line in page.wrap(legend(reconciliation))),
        *page.wrap(note),
    ]


def column_titles(reconciliation: Reconciliation, *, short: bool = False) -> list[str]:
    """`estimate`, `simulation`, `measurement`: what its columns are; `short`: `est.`, `sim.`, `meas.`"""
    return [_BASES.get(basis, (basis, basis))[short] for basis in reconciliation.columns]


def reconciled_groups(reconciliation: Reconciliation) -> list[Group]:
    """Levels, instants, and the components at the last column's peak; rows that are 0 everywhere are left out."""
    least = STANDS_OUT * (reconciliation.levels[0].bytes[-1] or 0)

    def row(line: Line, label: str, short: str, absent: int | None = None) -> Row:
        sizes = [absent if size is None else size for size in line.bytes]
        apart = [abs(size - sizes[-1]) for size in sizes if size is not None and sizes[-1] is not None]
        return Row(label, short, line, max(apart, default=0) > least)

    groups = [
        Group("the peak", [row(line, line.name, line.name) for line in reconciliation.levels]),
        Group(
            "allocated at",
            [row(at.allocated, instant(at.name), instant_short(at.name)) for at in reconciliation.instants],
        ),
    ]
    if peak := reconciliation.peak:
        labels = [(line, component(line.name).label) for line in peak.components]
        # both ledgers add up to what is allocated: a component that one has no line for is 0 there
        both = None if None in peak.allocated.bytes else 0
        rows = [row(line, label, label, absent=both) for line, label in labels]
        groups.append(Group(f"of which at the peak, {instant(peak.name)}", [*rows, row(peak.allocated, "all", "all")]))
    return [Group(title, [row for row in rows if any(row.line.bytes)]) for title, rows in groups]


def _table(
    groups: Sequence[Group], longs: Sequence[str], shorts: Sequence[str], layout: _Layout, scale: Scale, page: Page
) -> list[str] | None:
    """The rows in columns; None where they are wider than the page."""
    rows = [row for group in groups for row in group.rows]
    cells = [[row.short if layout.short else row.label, *_cells(row, layout, scale)] for row in rows]
    head, *lines = columns([_head(longs, shorts, layout), *cells], gap=layout.gap)
    if len(head) + 4 > page.width:
        return None
    texts, shown = iter(lines), [page.style(f"    {head}", "dim")]
    for group in groups:
        if group.rows:
            shown += page.wrap(group.title)
        for row in group.rows:
            text = f"    {next(texts)}"
            shown.append(page.style(text, "yellow") if row.marked else text)
    return shown


def _head(longs: Sequence[str], shorts: Sequence[str], layout: _Layout) -> list[str]:
    names, earlier = shorts if layout.short else longs, shorts[:-1]
    if len(names) > 2:
        # over the difference and its share together
        differences = [
            [f"{short} -", shorts[-1]] if layout.shares else [f"{short} - {shorts[-1]}"] for short in earlier
        ]
    else:
        differences = [["diff." if layout.short else "difference", *[""] * layout.shares]] * len(earlier)
    return ["", *names, *(cell for head in differences for cell in head), ""]


def _cells(row: Row, layout: _Layout, scale: Scale) -> list[str]:
    apart = [
        cell
        for difference, relative in zip(row.line.differences, row.line.relative, strict=True)
        for cell in [_or_none(difference, layout.decimals, scale), *[_share(relative)] * layout.shares]
    ]
    return [*(_size(size, layout.decimals, scale) for size in row.line.bytes), *apart, "!" if row.marked else ""]


def _size(size: int | None, decimals: int, scale: Scale) -> str:
    if size is None:
        return "–"
    return scale.number(size, decimals) if size else "0"


def _or_none(difference: int | None, decimals: int, scale: Scale) -> str:
    return "–" if difference is None else scale.signed(difference, decimals)


def _share(relative: float | None) -> str:
    return "–" if relative is None else signed_share(relative)


def _sentences(groups: Sequence[Group], longs: Sequence[str], scale: Scale, page: Page) -> list[str]:
    lines: list[str] = []
    for group in groups:
        lines += page.wrap(group.title) if group.rows else []
        for row in group.rows:
            sizes = ", ".join(
                f"{name} {_size(size, 2, scale)}" for name, size in zip(longs, row.line.bytes, strict=True)
            )
            apart = "".join(f", apart {_or_none(difference, 2, scale)}" for difference in row.line.differences)
            lines += page.wrap(f"{row.label}: {sizes}{apart}{' !' * row.marked}", first="    ")
    return lines


def legend(reconciliation: Reconciliation) -> str:
    """Which way the differences go, what the mark means, and whose peak is at another instant."""
    longs = column_titles(reconciliation)
    if len(longs) == 1:
        return ""
    last = longs[-1]
    parts = [f"difference: {' or '.join(longs[:-1])} - {last}"]
    if any(row.marked for group in reconciled_groups(reconciliation) for row in group.rows):
        parts.append(f"!: more than {STANDS_OUT:.0%} of the peak apart")
    parts += [
        f"the {name}'s peak is at {instant(peak)}"
        for name, peak in zip(longs, reconciliation.peaks, strict=True)
        if peak != reconciliation.peaks[-1]
    ]
    return "; ".join(parts)

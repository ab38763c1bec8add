"""The table of components × instants."""

from __future__ import annotations

from collections.abc import Sequence

from planner.memory.ledger import COMPONENTS, Instant, Ledgers
from reports.components import INSTANTS, component
from reports.figures import columns, gib_number
from reports.page import Page


def ledger_section(memory: Ledgers, page: Page) -> list[str]:
    """Every instant's ledger in GiB, components that are never held left out and the peak marked."""
    lines = [page.heading("Allocated at each instant, in GiB")]
    for table in _tables(memory, page.width - 2):
        *body, total = (f"  {line}" for line in table[2:])
        lines += [
            *([""] if len(lines) > 1 else []),
            *(page.style(f"  {line}", "dim") for line in table[:2]),
            *body,
            page.style(total, "bold"),
        ]
    return lines


def _tables(memory: Ledgers, width: int) -> list[list[str]]:
    """All instants in one table; where the width is less, as many tables as it takes, one under the other."""
    tables = [columns(_rows(memory, memory.instants, 2))]
    together = len(memory.instants)
    while max(len(table[0]) for table in tables) > width and together:
        parts = [memory.instants[start : start + together] for start in range(0, len(memory.instants), together)]
        tables = [columns(_rows(memory, part, 1), gap=1) for part in parts]
        together -= 1
    return tables


def _rows(memory: Ledgers, instants: Sequence[Instant], decimals: int) -> list[list[str]]:
    names = dict.fromkeys((*COMPONENTS, *(name for instant in memory.instants for name in instant.components)))
    held = [name for name in names if any(instant.components.get(name) for instant in memory.instants)]
    heads = [INSTANTS.get(instant.name, ("", instant.name.replace("_", " "))) for instant in instants]
    peak = [instant.name == memory.instant for instant in instants]

    def figures(sizes: list[int]) -> list[str]:
        # the column of the peak is one wider, for its mark in the last row
        return [
            (gib_number(size, decimals) if size else "–") + " " * at_peak
            for size, at_peak in zip(sizes, peak, strict=True)
        ]

    body = [
        [component(name).label, *figures([instant.components.get(name, 0) for instant in instants])] for name in held
    ]
    totals = figures([instant.allocated_bytes for instant in instants])
    return [
        ["", *(above + " " * at_peak for (above, _), at_peak in zip(heads, peak, strict=True))],
        ["", *(below + " " * at_peak for (_, below), at_peak in zip(heads, peak, strict=True))],
        *body,
        [
            "all (* peak)",
            *(f"{text[:-1]}*" if at_peak else text for text, at_peak in zip(totals, peak, strict=True)),
        ],
    ]

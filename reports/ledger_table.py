"""The table of components × instants."""

from __future__ import annotations

from planner.memory.ledger import COMPONENTS, Memory
from reports.components import INSTANTS, component
from reports.figures import columns, gib_number
from reports.page import Page


def ledger_section(memory: Memory, page: Page) -> list[str]:
    """Every instant's ledger in GiB, components that are never held left out and the peak marked."""
    rows = _rows(memory, 2)
    lines = columns(rows)
    if max(map(len, lines)) > page.width - 2:
        lines = columns(_rows(memory, 1), gap=1)
    *head, last, total = (f"  {line}" for line in lines[2:])
    return [
        page.heading("Allocated at each instant, in GiB"),
        *(page.style(f"  {line}", "dim") for line in lines[:2]),
        *head,
        last,
        page.style(total, "bold"),
    ]


def _rows(memory: Memory, decimals: int) -> list[list[str]]:
    instants = memory.instants
    names = dict.fromkeys((*COMPONENTS, *(name for instant in instants for name in instant.components)))
    held = [name for name in names if any(instant.components.get(name) for instant in instants)]
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

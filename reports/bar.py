"""A stacked bar of the peak instant against the card, and its legend."""

from __future__ import annotations

from itertools import pairwise, zip_longest

from planner.plan_types import Plan
from reports.components import CACHE, FREE, Shown, component, instant
from reports.figures import columns, gib, gib_number, share
from reports.page import Page

Part = tuple[Shown, int]


def bar_section(plan: Plan, page: Page) -> list[str]:
    """The ledger at the peak as a bar of what PyTorch can use of the card, with a legend in GiB."""
    parts = parts_of(plan)
    usable = plan.gpu.usable_bytes if plan.gpu else None
    cells = page.width - 4
    lines = [page.heading(f"Where it goes at the peak: {instant(plan.memory.instant)}"), ""]
    lines += [f"  {line}" for line in _bar(parts, usable, cells, page)]
    return [*lines, "", *_legend(parts, usable, page)]


def parts_of(plan: Plan) -> list[Part]:
    """Components at the peak, then the allocator's cache, then what is free of the card: bytes of each."""
    memory = plan.memory
    parts = [(component(name), size) for name, size in memory.peak.components.items() if size]
    parts.append((CACHE, memory.peak_bytes.reserved - memory.peak.allocated_bytes))
    if plan.gpu:
        parts.append((FREE, plan.gpu.usable_bytes - memory.peak_bytes.reserved))
    return [(shown, size) for shown, size in parts if size > 0]


def fill(sizes: list[int], cells: int) -> list[int]:
    """How many of `cells` each size takes, in order: each edge lies within half a cell of its place."""
    whole, edges, so_far = sum(sizes), [0], 0
    for size in sizes:
        so_far += size
        edges.append((2 * so_far * cells + whole) // (2 * whole))
    return [end - start for start, end in pairwise(edges)]


def _bar(parts: list[Part], usable: int | None, cells: int, page: Page) -> list[str]:
    whole = sum(size for _, size in parts)
    bar = [
        page.style(shown.mark * count, shown.colour)
        for (shown, _), count in zip(parts, fill([size for _, size in parts], cells), strict=True)
    ]
    if usable is None:
        return ["".join(bar), f"{gib(whole)} reserved".rjust(cells)]
    end = round(usable / whole * cells)
    return ["".join(bar), _caption(f"{gib(usable)} usable", end, cells)]


def _caption(text: str, end: int, cells: int) -> str:
    """`text` beside a mark under the cell that ends at `end`."""
    if end > len(text) + 2:
        return f"{text} ▲".rjust(end)
    return " " * max(0, min(end - 1, cells - len(text) - 2)) + f"▲ {text}"


def _legend(parts: list[Part], usable: int | None, page: Page) -> list[str]:
    """Every part with its GiB and its share of the bar's whole, in two columns where the page has room."""
    whole = usable or sum(size for _, size in parts)
    texts = columns([[shown.label, f"{gib_number(size)} GiB", share(size, whole)] for shown, size in parts])
    entries = [f"{page.style(shown.mark, shown.colour)} {text}" for (shown, _), text in zip(parts, texts, strict=True)]
    if 2 * (len(texts[0]) + 2) + 5 > page.width:
        return [f"  {entry}" for entry in entries]
    half = (len(entries) + 1) // 2
    pairs = zip_longest(entries[:half], entries[half:], fillvalue="")
    return [f"  {left}   {right}" for left, right in pairs]

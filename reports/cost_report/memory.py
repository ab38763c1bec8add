"""Memory by component and instant, with a picture, and at each level."""

from __future__ import annotations

from planner.memory.ledger import COMPONENTS, Ledgers
from planner.plan_types import Plan
from planner.units import GIB
from reports.charts.chart import Series, StackedBars
from reports.components import CACHE, component, instant, instant_short, stretch_short
from reports.cost_report.content import CostReport
from reports.cost_report.words import sentence
from reports.documents.blocks import Block, Bullets, Paragraph, Picture, Section, Table
from reports.figures import gib, gib_number
from reports.plan_words import footprint_rows, level_rows, limit_sentences
from reports.verdict import trained

PEAK = "*"
"""Behind the instant of the peak."""

RESERVED = "reserved"
"""Under the bar of the peak with the allocator's cache."""


def memory_section(report: CostReport) -> Section:
    """The plan's ledgers; where there is no plan, the simulation's or the measurement's."""
    counted = [sentence(trained(report.parameters))] if report.parameters is not None else []
    plan = report.plan
    if plan is None:
        ledgers = _other_ledgers(report)
        shown = () if ledgers is None else (*_picture(ledgers, None), _table(ledgers))
        return Section("Memory", (*counted, *shown))
    blocks: list[Block] = [
        *counted,
        *_picture(plan.memory, plan),
        _table(plan.memory),
        Paragraph("The peak at each level, which are never compared with each other:"),
        _levels(plan),
    ]
    if plan.limits is not None:
        blocks += [Paragraph("The largest that fits:"), Bullets(tuple(limit_sentences(plan.run, plan.limits)))]
    footprint = footprint_rows(plan.run, plan.footprint)
    blocks.append(Table(("Off the GPU", "for", "size"), tuple((name, use, size) for name, size, use in footprint), 2))
    return Section("Memory", tuple(blocks))


def _other_ledgers(report: CostReport) -> Ledgers | None:
    if report.simulation is not None:
        return report.simulation.memory
    return report.verification.measurement.memory if report.verification is not None else None


def _held(ledgers: Ledgers) -> list[str]:
    """The components that are held at any instant, in the ledger's order."""
    names = dict.fromkeys((*COMPONENTS, *(name for at in ledgers.instants for name in at.components)))
    return [name for name in names if any(at.components.get(name) for at in ledgers.instants)]


def _picture(ledgers: Ledgers, plan: Plan | None) -> tuple[Block, ...]:
    """Each instant as a bar, and the peak with what the allocator holds besides."""
    peak, held = ledgers.peak, _held(ledgers)
    cache = max(0, ledgers.peak_bytes.reserved - peak.allocated_bytes)
    columns = [*ledgers.instants, peak]
    parts = [Series(component(name).label, tuple(at.components.get(name, 0) / GIB for at in columns)) for name in held]
    parts.append(Series(CACHE.label, (*(0.0 for _ in ledgers.instants), cache / GIB)))
    gpu = plan.gpu if plan is not None else None
    limit = (f"usable on {gpu.name}", gpu.usable_bytes / GIB) if gpu is not None else None
    chart = StackedBars(
        name="memory",
        title="GPU memory by component at each instant of a step",
        unit="GiB",
        bars=(*(instant_short(at.name) for at in ledgers.instants), RESERVED),
        parts=tuple(parts),
        limit=limit,
    )
    largest = max(held, key=lambda name: peak.components.get(name, 0))
    of = f" of {gib(gpu.usable_bytes)} usable" if gpu is not None else ""
    alt = (
        f"Bars of GPU memory by component. The highest is {instant(peak.name)} with {gib(peak.allocated_bytes)} "
        f"allocated, of which {gib(peak.components[largest])} are {component(largest).label}; with the allocator's "
        f"cache {gib(ledgers.peak_bytes.reserved)} are reserved{of}."
    )
    return (Picture(chart, alt),)


def _table(ledgers: Ledgers) -> Table:
    """Components by instants in GiB, the peak marked."""

    def number(size: int) -> str:
        return gib_number(size) if size else "–"

    marks = [f"{stretch_short(at.name)}{PEAK if at.name == ledgers.instant else ''}" for at in ledgers.instants]
    rows = [
        (component(name).label, *(number(at.components.get(name, 0)) for at in ledgers.instants))
        for name in _held(ledgers)
    ]
    total = (f"all ({PEAK} peak)", *(number(at.allocated_bytes) for at in ledgers.instants))
    return Table(("GiB", *marks), (*rows, total), total=True)


def _levels(plan: Plan) -> Table:
    """Each level with its interval, where it has one."""
    memory = plan.memory
    ends = {
        interval.level: (gib(interval.low), gib(interval.high))
        for interval in (memory.allocated_interval_bytes, memory.interval_bytes)
    }
    rows = tuple((name, counts, gib(size), *ends.get(name, ("–", "–"))) for name, size, counts in level_rows(plan))
    return Table(("level", "what it counts", "peak", "low", "high"), rows, left=2)

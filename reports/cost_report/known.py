"""What was simulated and measured, and how it reconciled with the estimate."""

from __future__ import annotations

from collections.abc import Sequence

from planner.units import GIB
from profiler.reconcile import Reconciliation, reconcile
from profiler.simulate.types import Simulation
from profiler.verification import Verification
from reports.charts.chart import GroupedBars, Series
from reports.components import component, instant
from reports.cost_report.content import CostReport
from reports.cost_report.words import bullets, sentence
from reports.documents.blocks import Block, Bullets, Code, Folded, Paragraph, Picture, Section, Strong, Table, Words
from reports.figures import gib, signed_share
from reports.measured import basis
from reports.reconciliation import Group, column_titles, legend, reconciled_groups
from reports.scale import Scale, scale_of
from reports.simulation import simulation_basis
from reports.time import duration
from reports.verification import (
    causes_in_words,
    device_in_words,
    failure_sentence,
    interval_sentence,
    left_out,
    measured_levels,
    missing,
    verdict_word,
)

TITLE = "Simulated and measured"


def known_section(report: CostReport) -> Section:
    """Estimate, simulation and measurement on adjacent lines; or how to come by them."""
    verification, simulation = report.verification, report.simulation
    blocks: list[Block] = []
    if verification is not None:
        blocks += _verification(report, verification)
    elif simulation is not None:
        columns = [simulation.memory] if report.estimate is None else [report.estimate.memory, simulation.memory]
        blocks += reconciliation_blocks(reconcile(columns))
    if simulation is not None:
        blocks.append(_simulation(simulation))
    elif report.unsimulated is not None and verification is None:
        blocks.append(sentence(f"there is no simulation: {report.unsimulated}"))
    return Section(TITLE, (*blocks, *_how_to(report)))


def reconciliation_blocks(reconciliation: Reconciliation, note: str = "") -> list[Block]:
    """A picture of the components at the peak, and every line with what the columns are apart by."""
    groups, titles = reconciled_groups(reconciliation), column_titles(reconciliation)
    scale = scale_of(size or 0 for size in reconciliation.levels[0].bytes)
    blocks: list[Block] = [*_picture(reconciliation, titles)]
    for group in groups:
        if group.rows:
            title = f"{group.title[:1].upper()}{group.title[1:]}, in {scale.name}:"
            blocks += [Paragraph(title), _table(group, reconciliation, scale)]
    said = "; ".join(filter(None, (legend(reconciliation), note)))
    return [*blocks, *([sentence(said)] if said else [])]


def _picture(reconciliation: Reconciliation, titles: Sequence[str]) -> list[Block]:
    peak = reconciliation.peak
    if peak is None or len(titles) == 1 or any(size is None for size in peak.allocated.bytes):
        return []
    lines = [line for line in peak.components if any(line.bytes)]
    chart = GroupedBars(
        name="reconciled",
        title=f"Components at the peak, {instant(peak.name)}: {', '.join(titles[:-1])} and {titles[-1]}",
        unit="GiB",
        groups=tuple(component(line.name).label for line in lines),
        bars=tuple(
            Series(title, tuple((line.bytes[column] or 0) / GIB for line in lines))
            for column, title in enumerate(titles)
        ),
    )
    sizes = ", ".join(f"{title} {gib(size or 0)}" for title, size in zip(titles, peak.allocated.bytes, strict=True))
    return [Picture(chart, f"Bars of the components at the peak side by side. Together: {sizes}.")]


def _table(group: Group, reconciliation: Reconciliation, scale: Scale) -> Table:
    """Sizes of each column, and each earlier one less the last with its share."""
    titles, (*earlier, last) = column_titles(reconciliation), column_titles(reconciliation, short=True)
    apart = ["difference"] if len(earlier) == 1 else [f"{title} - {last}" for title in earlier]
    rows: list[tuple[Words, ...]] = []
    for row in group.rows:
        line = row.line
        differences = [_apart(*both, scale) for both in zip(line.differences, line.relative, strict=True)]
        sizes = ["–" if size is None else scale.number(size) if size else "0" for size in line.bytes]
        rows.append((f"{row.short}{' !' * row.marked}", *sizes, *differences))
    return Table(("", *titles, *apart), tuple(rows))


def _apart(difference: int | None, relative: float | None, scale: Scale) -> str:
    """`-0.64 (-4.8%)`"""
    if difference is None:
        return "–"
    return f"{scale.signed(difference)}{'' if relative is None else f' ({signed_share(relative)})'}"


def _verification(report: CostReport, verification: Verification) -> list[Block]:
    measurement = verification.measurement
    reconciliation = measured_levels(verification)
    seen = f", record {report.record.id[:8]} of {report.record.when[:10]}" if report.record is not None else ""
    blocks: list[Block] = [
        Paragraph((Strong(f"{verdict_word(verification)}:"), f" {verification.because}.")),
        Paragraph(f"Measured on {device_in_words(measurement.device)}{seen}."),
    ]
    if verification.plan is not None and (within := interval_sentence(verification)):
        blocks.append(sentence(within))
    if measurement.out_of_memory is not None:
        blocks.append(Paragraph(f"When memory ran out: {failure_sentence(measurement.out_of_memory)}."))
    if reconciliation is not None:
        blocks += reconciliation_blocks(reconciliation, missing(verification))
    blocks += _phases(verification)
    for title, sentences in (
        ("What is off, and why", causes_in_words(verification)),
        ("What the measurement rests on", [*basis(measurement), *left_out(verification), *measurement.notes]),
    ):
        if sentences:
            blocks.append(Folded(title, (bullets(sentences),)))
    return blocks


def _phases(verification: Verification) -> list[Block]:
    """Seconds of a step, phase by phase."""
    time = verification.measurement.time
    if time is None:
        return []
    rows = [
        (
            phase.name,
            "–" if phase.estimate_s is None else duration(phase.estimate_s),
            "–" if phase.measured_s is None else duration(phase.measured_s),
            "–" if phase.relative is None else signed_share(phase.relative),
        )
        for phase in verification.phases
    ]
    why = verification.why_no_estimated_time
    lacks = f". No estimate stands beside it: {why}." if verification.estimated_time is None and why else ":"
    return [
        Paragraph(f"Time of a step of {time.tokens:,} tokens, {time.tokens_per_s:,.0f} tokens/s measured{lacks}"),
        Table(("", "estimate", "measured", "difference"), tuple(rows)),
    ]


def _simulation(simulation: Simulation) -> Block:
    sentences = (*simulation_basis(simulation), *simulation.approximations, *simulation.notes)
    return Folded("What the simulation rests on", (bullets(sentences),))


def _how_to(report: CostReport) -> list[Block]:
    """What would add the columns that there are not."""
    ways: list[Words] = []
    if report.simulation is None and report.unsimulated is None:
        ways.append(
            (
                Code("--simulate"),
                " with this report's command runs the real training stack on fake tensors, without a GPU",
            )
        )
    if report.verification is None:
        ways.append(
            (
                Code("lora-plan verify --run run.yaml"),
                " on the card runs a few real steps and keeps them as a record, which this report then shows",
            )
        )
    if not ways:
        return []
    none = report.simulation is None and report.verification is None
    lead = "Nothing was simulated or measured of this run: every figure above is estimated." if none else ""
    return [*([Paragraph(lead)] if lead else []), Bullets(tuple(ways))]

"""The report on a training that `LoraPlanCallback` watched: the cost report of its run, and what was seen of it."""

from __future__ import annotations

import shlex
from datetime import date

from planner.units import format_bytes, format_count
from profiler.measure.types import Measurement
from profiler.training.report import TrainingReport
from profiler.training.shapes import Shape
from profiler.verification import verified
from reports.components import component, instant
from reports.cost_report.answer import answer
from reports.cost_report.assumed import assumed_section
from reports.cost_report.content import CostReport
from reports.cost_report.known import known_section
from reports.cost_report.memory import memory_section
from reports.cost_report.reproduce import reproduce_section
from reports.cost_report.time_and_cost import time_and_cost_section
from reports.documents.blocks import Block, Bullets, Document, Paragraph, Section, Strong, Table, Words
from reports.figures import signed_share

TITLE = "A training, planned and measured by lora-plan"


def training_document(report: TrainingReport, measured: Measurement | None, *, day: date, version: str) -> Document:
    """The whole report. measured: what is kept of the training as a record; None where nothing is.

    day: on which it is written. version: of lora-plan. Other ways to train are not searched and nothing is priced:
    the training is done, and its end is not to wait for that.
    """
    cost = _cost_report(report, measured, day, version)
    warning = [Paragraph((Strong("Said after step 2:"), f" {report.warning}."))] if report.warning else []
    sections = (
        _seen(report),
        _time(report),
        _batches(report),
        *(_planned(cost, measured) if cost is not None else ()),
        _list("Not in the plan", report.notes),
        Section(
            "Record",
            (
                Paragraph(report.record),
                Paragraph(f"Versions: {', '.join(f'{library} {version}' for library, version in report.versions)}."),
            ),
        ),
    )
    return Document(
        title=TITLE,
        lead=(Paragraph(_summary(report)), *warning, *(answer(cost) if cost is not None else ())),
        sections=tuple(section for section in sections if section is not None),
    )


def _cost_report(report: TrainingReport, measured: Measurement | None, day: date, version: str) -> CostReport | None:
    """The report on the training's run; None where no plan was made of it."""
    run, plan = report.run, report.plan
    if run is None or plan is None:
        return None
    card = [] if plan.gpu is None else ["--gpu", plan.gpu.name]
    return CostReport(
        run=run,
        plan=plan,
        estimate=plan,
        unplanned=None,
        verification=verified(measured, plan, None, None, None) if measured is not None else None,
        command=shlex.join(["lora-plan", "report", "--run", "run.yaml", *card]),
        day=day,
        version=version,
    )


def _planned(cost: CostReport, measured: Measurement | None) -> tuple[Section | None, ...]:
    """The sections of the cost report; that on measurements where there is one to hold the plan to."""
    return (
        memory_section(cost),
        time_and_cost_section(cost),
        known_section(cost) if measured is not None else None,
        assumed_section(cost),
        reproduce_section(cost),
    )


def _summary(report: TrainingReport) -> str:
    parameters = report.parameters
    where = "" if report.device is None else f" on {report.device.name}"
    rank = "" if report.ranks == 1 else f" The figures are of one rank of {report.ranks}."
    trained = f"{format_count(parameters.trainable)} of {format_count(parameters.total)} parameters trained"
    return f"{report.model}{where}: {report.outcome}, {trained}.{rank}"


def _seen(report: TrainingReport) -> Section:
    """Estimate and measurement on adjacent lines: each level by itself, and what lasts beyond a micro-batch."""
    watched = report.watched
    blocks: list[Block] = []
    if report.unplanned:
        blocks.append(Paragraph(f"There is no plan to hold it to: {report.unplanned}."))
    if watched.peak is None or watched.levels is None:
        unknown = "torch counts no memory here: allocated and reserved are not known, and only planned."
        blocks.append(Paragraph(unknown))
    blocks.append(_table("peak", _levels(report)))
    if watched.peak is not None:
        peak = watched.peak
        of = f", with a micro-batch of {_shape(peak.shape)}" if peak.shape is not None else ""
        since = (
            "from step 2 on, when the optimizer's states are there" if watched.steps > 1 else "since the process began"
        )
        said = f"The peak is in {instant(peak.instant)} of step {peak.step:,}{of}; it is the highest {since}."
        blocks.append(Paragraph(said))
    if watched.levels is not None and watched.levels.retries:
        times = "once" if watched.levels.retries == 1 else f"{watched.levels.retries:,} times"
        blocks.append(Paragraph(f"The allocator ran full and gave back its cache {times}."))
    held = _held(report)
    if held:
        blocks += [Paragraph("In the optimizer's step:"), _table("component", held)]
        if report.ranks > 1:
            shared = "The buffers in which ranks exchange gradients are estimated here, and not measured."
            blocks.append(Paragraph(shared))
    return Section("Seen in the training", tuple(blocks))


def _levels(report: TrainingReport) -> list[tuple[Words, ...]]:
    watched, plan = report.watched, report.plan
    peak, levels = watched.peak, watched.levels
    rows: list[tuple[Words, ...]] = []
    seen = (peak.allocated, levels.peak_reserved) if peak is not None and levels is not None else (None, None)
    if plan is not None:
        known = plan.memory.peak_bytes
        rows += [
            _row("allocated", known.allocated, seen[0]),
            _row("reserved", known.reserved, seen[1]),
        ]
    elif None not in seen:
        rows += [("allocated", "–", _bytes(seen[0]), "–"), ("reserved", "–", _bytes(seen[1]), "–")]
    return [*rows, ("host, resident", "–", _bytes(watched.host_peak), "–")]


def _held(report: TrainingReport) -> list[tuple[Words, ...]]:
    """What lasts beyond a micro-batch, as its tensors have it."""
    held = report.watched.held
    if held is None:
        return []
    step = None
    if report.plan is not None:
        instants = report.plan.memory.instants
        step = next((one.components for one in instants if one.name == "optimizer_step"), None)
    rows: list[tuple[Words, ...]] = []
    for name, seen in held.items():
        known = None if step is None else step.get(name, 0)
        if seen or known:
            rows.append(_row(component(name).label, known, seen))
    return rows


def _row(label: str, known: int | None, seen: int | None) -> tuple[Words, ...]:
    return (label, _bytes(known), _bytes(seen), _apart(known, seen))


def _table(what: str, rows: list[tuple[Words, ...]]) -> Table:
    return Table((what, "estimate", "measured", "estimate less measured"), tuple(rows))


def _time(report: TrainingReport) -> Section:
    watched, plan = report.watched, report.plan
    said: list[str] = []
    rate = watched.tokens_per_s
    if watched.timed:
        mean = watched.seconds / watched.timed
        steps = f"{watched.timed:,} {'step' if watched.timed == 1 else 'steps'}"
        said.append(f"Measured: {mean:,.3f} s a step over {steps}, from the third on; between steps is left out.")
        if rate is not None:
            said.append(f"Measured: {rate:,.0f} tokens/s of this process, padding included.")
    else:
        said.append("No step was timed: the first two make the optimizer's states and choose kernels.")
    if plan is not None and plan.time is not None and plan.gpu is not None:
        cards = plan.gpu.name if plan.gpu.count == 1 else f"{plan.gpu.count:,} x {plan.gpu.name} together"
        speed = f"{plan.time.tokens_per_s:,.0f} tokens/s on {cards}"
        said.append(f"Estimate: {speed}, with batches of the largest alone.")
    return Section("Its speed", (Bullets(tuple(said)),))


def _batches(report: TrainingReport) -> Section:
    lengths, watched = report.lengths, report.watched
    longest = "not known" if lengths.longest is None else f"{lengths.longest:,} tokens"
    sure = "" if lengths.exact or lengths.longest is None else ", at least"
    said = [f"Longest sample: {longest}{sure} ({lengths.basis})."]
    if watched.shortest is not None and watched.largest is not None:
        said.append(f"Micro-batches seen: {_shape(watched.shortest)} to {_shape(watched.largest)}.")
    else:
        said.append("Micro-batches seen: not known.")
    found = report.forecast
    if found is not None:
        basis = "measured at step 2 and scaled by the plan" if found.measured else "by the plan alone"
        said.append(
            f"Forecast at step 2 for {_shape(found.shape)}: {format_bytes(found.allocated)} allocated and "
            f"{format_bytes(found.reserved)} reserved of {format_bytes(found.usable)} usable, {basis}."
        )
    return Section("Its batches", (Bullets(tuple(said)),))


def _list(title: str, sentences: tuple[str, ...]) -> Section | None:
    return Section(title, (Bullets(tuple(f"{sentence}." for sentence in sentences)),)) if sentences else None


def _shape(shape: Shape) -> str:
    return f"{shape.batch:,} × {shape.length:,} tokens"


def _bytes(size: int | None) -> str:
    return "not known" if size is None else format_bytes(size)


def _apart(known: int | None, seen: int | None) -> str:
    if known is None or seen is None:
        return "–"
    return signed_share((known - seen) / seen) if seen else "0%" if not known else "–"

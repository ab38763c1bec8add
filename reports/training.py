"""The report on a training that `LoraPlanCallback` watched, in Markdown. GiB is 1024**3 bytes."""

from __future__ import annotations

from collections.abc import Sequence

from planner.units import format_bytes, format_count
from profiler.training.report import TrainingReport
from profiler.training.shapes import Shape
from reports.components import component, instant
from reports.figures import signed_share

TITLE = "# A training, planned and measured by lora-plan"


def training_markdown(report: TrainingReport) -> str:
    """The whole report."""
    sections = [
        [TITLE],
        [_summary(report)],
        _warning(report),
        _levels(report),
        _components(report),
        _time(report),
        _lengths(report),
        _run(report),
        _list("Not in the plan", report.notes),
        ["## Record", "", report.record],
        ["## Versions", "", ", ".join(f"{library} {version}" for library, version in report.versions)],
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _summary(report: TrainingReport) -> str:
    parameters = report.parameters
    device = report.device
    where = "" if device is None else f" on {device.name}"
    rank = "" if report.ranks == 1 else f" The figures are of one rank of {report.ranks}."
    trained = f"{format_count(parameters.trainable)} of {format_count(parameters.total)} parameters trained"
    return f"{report.model}{where}: {report.outcome}, {trained}.{rank}"


def _warning(report: TrainingReport) -> list[str]:
    return [f"**Said after step 2:** {report.warning}."] if report.warning else []


def _levels(report: TrainingReport) -> list[str]:
    """Estimate and measurement on adjacent lines, each level by itself."""
    watched, plan = report.watched, report.plan
    lines = ["## Memory", ""]
    if report.unplanned:
        lines += [f"There is no plan to hold it to: {report.unplanned}.", ""]
    peak, levels = watched.peak, watched.levels
    if peak is None or levels is None:
        lines += ["torch counts no memory here: allocated and reserved are not known, and only planned.", ""]
    rows: list[list[str]] = []
    if plan is not None:
        estimated = plan.memory.peak_bytes
        measured = (peak.allocated, levels.peak_reserved) if peak is not None and levels is not None else (None, None)
        for level, known, seen in zip(
            ("allocated", "reserved"), (estimated.allocated, estimated.reserved), measured, strict=True
        ):
            rows.append([level, format_bytes(known), _bytes(seen), _apart(known, seen)])
    elif peak is not None and levels is not None:
        rows.append(["allocated", "–", format_bytes(peak.allocated), "–"])
        rows.append(["reserved", "–", format_bytes(levels.peak_reserved), "–"])
    rows.append(["host, resident", "–", _bytes(watched.host_peak), "–"])
    lines += _table(["peak", "estimate", "measured", "estimate less measured"], rows)
    if peak is not None:
        of = f", with a micro-batch of {_shape(peak.shape)}" if peak.shape is not None else ""
        since = (
            "from step 2 on, when the optimizer's states are there" if watched.steps > 1 else "since the process began"
        )
        lines += ["", f"The peak is in {instant(peak.instant)} of step {peak.step:,}{of}; it is the highest {since}."]
    if levels is not None and levels.retries:
        times = "once" if levels.retries == 1 else f"{levels.retries:,} times"
        lines += ["", f"The allocator ran full and gave back its cache {times}."]
    return lines


def _components(report: TrainingReport) -> list[str]:
    """What lasts beyond a micro-batch, as its tensors have it."""
    held = report.watched.held
    if held is None:
        return []
    step = None
    if report.plan is not None:
        instants = report.plan.memory.instants
        step = next((one.components for one in instants if one.name == "optimizer_step"), None)
    rows: list[list[str]] = []
    for name, seen in held.items():
        known = None if step is None else step.get(name, 0)
        if seen or known:
            rows.append([component(name).label, _bytes(known), format_bytes(seen), _apart(known, seen)])
    table = _table(["component", "estimate", "measured", "estimate less measured"], rows)
    shared = ["", "The buffers in which ranks exchange gradients are estimated here, and not measured."]
    return ["## In the optimizer's step", "", *table, *(shared if report.ranks > 1 else [])]


def _time(report: TrainingReport) -> list[str]:
    watched, plan = report.watched, report.plan
    lines = ["## Time", ""]
    rate = watched.tokens_per_s
    if watched.timed:
        mean = watched.seconds / watched.timed
        steps = f"{watched.timed:,} {'step' if watched.timed == 1 else 'steps'}"
        lines.append(f"- Measured: {mean:,.3f} s a step over {steps}, from the third on; between steps is left out.")
        if rate is not None:
            lines.append(f"- Measured: {rate:,.0f} tokens/s of this process, padding included.")
    else:
        lines.append("- No step was timed: the first two make the optimizer's states and choose kernels.")
    if plan is not None and plan.time is not None and plan.gpu is not None:
        cards = plan.gpu.name if plan.gpu.count == 1 else f"{plan.gpu.count:,} x {plan.gpu.name} together"
        rate = f"{plan.time.tokens_per_s:,.0f} tokens/s on {cards}"
        lines.append(f"- Estimate: {rate}, with batches of the largest alone.")
    return lines


def _lengths(report: TrainingReport) -> list[str]:
    lengths, watched = report.lengths, report.watched
    longest = "not known" if lengths.longest is None else f"{lengths.longest:,} tokens"
    sure = "" if lengths.exact or lengths.longest is None else ", at least"
    lines = ["## Batches", "", f"- Longest sample: {longest}{sure} ({lengths.basis})."]
    if watched.shortest is not None and watched.largest is not None:
        lines.append(f"- Micro-batches seen: {_shape(watched.shortest)} to {_shape(watched.largest)}.")
    else:
        lines.append("- Micro-batches seen: not known.")
    found = report.forecast
    if found is not None:
        basis = "measured at step 2 and scaled by the plan" if found.measured else "by the plan alone"
        lines.append(
            f"- Forecast at step 2 for {_shape(found.shape)}: {format_bytes(found.allocated)} allocated and "
            f"{format_bytes(found.reserved)} reserved of {format_bytes(found.usable)} usable, {basis}."
        )
    return lines


def _run(report: TrainingReport) -> list[str]:
    """The run's fields, those left out that do not apply to it or are empty."""
    if report.run is None:
        return []
    fields = {name: value for name, value in report.run.to_dict().items() if value not in (None, [])}
    rows = [[f"`{name}`", f"`{_plain(value)}`"] for name, value in fields.items()]
    return ["## The run", "", *_table(["field", "value"], rows)]


def _list(title: str, sentences: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {sentence}." for sentence in sentences)] if sentences else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])] if len(head) > 2 else ["---"] * len(head)
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def _shape(shape: Shape) -> str:
    return f"{shape.batch:,} × {shape.length:,} tokens"


def _bytes(size: int | None) -> str:
    return "not known" if size is None else format_bytes(size)


def _apart(known: int | None, seen: int | None) -> str:
    if known is None or seen is None:
        return "–"
    return signed_share((known - seen) / seen) if seen else "0%" if not known else "–"


def _plain(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)  # pyright: ignore
    return text.replace("|", "\\|").replace("`", "'")

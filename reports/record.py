"""One stored measurement: what was run on what, every level and instant, time, and what it rests on."""

from __future__ import annotations

from math import isfinite

from profiler.measure.types import MeasuredOutOfMemory, MeasuredTime, Measurement
from profiler.records.record import Record
from reports.components import instant
from reports.figures import columns, gib
from reports.ledger_table import ledger_section
from reports.measured import basis, levels_section
from reports.page import Page
from reports.records import model_name
from reports.sections import joined, list_section
from reports.time import duration
from reports.validation_rows import printable
from reports.verdict import method_title, trained


def record_text(record: Record, page: Page) -> str:
    """The whole record, within the page's width."""
    measurement = record.measurement
    title = f"{model_name(measurement.run)} {method_title(measurement.run)} on {_printed(measurement.device.name)}"
    sections = [
        [*(page.heading(line) for line in page.wrap(title, first="")), *page.wrap(trained(measurement.parameters))],
        _identity(record, page),
        _failed(measurement.out_of_memory, page) if measurement.out_of_memory is not None else [],
        _peak(measurement, page),
        ledger_section(measurement.memory, page) if measurement.memory is not None else [],
        levels_section(measurement.levels, page),
        _time(measurement.time, page) if measurement.time is not None else [],
        list_section("The run", _run(measurement), page),
        list_section("It rests on", [_printed(sentence) for sentence in basis(measurement)], page),
        list_section("Notes", [_printed(note) for note in measurement.notes], page),
    ]
    return page.finish(joined(sections))


def _identity(record: Record, page: Page) -> list[str]:
    device = record.measurement.device
    of_driver = [f"driver {device.driver}" if device.driver else "", device.runtime or ""]
    said = [
        ("id", record.id),
        ("key", record.key),
        ("measured", record.when.replace("T", " ").replace("Z", " UTC")),
        (
            "device",
            ", ".join(part for part in (device.gpu or device.kind, gib(device.memory_bytes), *of_driver) if part),
        ),
        *((name, value) for name, value in record.environment),
    ]
    width = max(len(name) for name, _ in said)
    return [
        line
        for name, value in said
        for line in page.wrap(_printed(value), first=f"  {name:<{width}}  ", rest=" " * (width + 4))
    ]


def _failed(failed: MeasuredOutOfMemory, page: Page) -> list[str]:
    where = f"in step {failed.step}, towards {instant(failed.instant)}" if failed.step else "while loading"
    sizes = [
        f"{gib(size)} {what}"
        for size, what in (
            (failed.requested_bytes, "were asked for"),
            (failed.allocated_bytes, "allocated"),
            (failed.reserved_bytes, "reserved"),
            (failed.capacity_bytes, "of the card"),
        )
        if size is not None
    ]
    said = f"Memory ran out {_printed(where)}{': ' if sizes else ''}{', '.join(sizes)}"
    return [
        *(page.style(line, "bold", "red") for line in page.wrap(said, first="")),
        *page.wrap(_printed(failed.message)),
    ]


def _peak(measurement: Measurement, page: Page) -> list[str]:
    if measurement.memory is None:
        return []
    peak, device = measurement.memory.peak_bytes, measurement.device
    rows = [["allocated", gib(peak.allocated)]]
    if device.usable_bytes is not None:
        rows.append(["reserved", gib(peak.reserved)])
    if peak.process is not None:
        rows.append(["process", gib(peak.process)])
    of = f" of {gib(device.usable_bytes)} usable" if device.usable_bytes is not None else ""
    heading = f"The peak at each level{of}: {instant(measurement.memory.instant)}"
    return [
        *(page.heading(line) for line in page.wrap(_printed(heading), first="")),
        *(f"  {line}" for line in columns(rows)),
    ]


def _time(time: MeasuredTime, page: Page) -> list[str]:
    between = ""
    if len(time.samples) > 1:
        low, high = duration(max(0.0, time.low_s)), duration(time.high_s)
        between = f", between {low} and {high} ({time.coverage:.0%} interval of the mean)"
    used = [f"{name} {value:.0%}" for name, value in (("MFU", time.mfu), ("HFU", time.hfu)) if value is not None]
    said = f"{time.tokens_per_s:,.1f} tokens/s: {duration(time.step_s)} a step of {time.tokens:,} tokens{between}"
    return [page.heading("Time"), *page.wrap("; ".join([said, *([", ".join(used)] if used else [])]))]


def _run(measurement: Measurement) -> list[str]:
    """The fields that apply, several a sentence."""
    fields = {name: value for name, value in measurement.run.to_dict().items() if value not in (None, [], "")}
    return [_printed(", ".join(f"{name} {_value(value)}" for name, value in fields.items()))]


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and isfinite(value) else str(value)


def _printed(text: str) -> str:
    return printable(text, 2000)

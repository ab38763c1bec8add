"""Stored measurements as a table, and what became of exporting and importing some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planner.catalogue.spelling import shown_path
from planner.run import TrainingRun
from profiler.measure.types import OUT_OF_MEMORY
from profiler.records.record import Record
from reports.figures import gib_number
from reports.page import Page
from reports.sections import list_section
from reports.validation_rows import printable
from reports.verdict import method_title

SHORT = 8
"""Characters of an id in the table."""

OOM = "OOM"
SLICED = "~"
"""Before a figure that was extrapolated from slices."""

UNKNOWN = "–"
LEFT = ("id", "date", "model", "method", "card")
WIDEST = {"method": 16, "card": 15}
"""Columns to cut where a name is longer; `model` gets what the others leave."""

NARROWEST_MODEL = 12
SPARED = ("process", "date", "allocated", "tokens/s", "method", "card")
"""Columns that a narrow page goes without, the first first."""


def records_text(records: Sequence[Record], path: Path, page: Page, unreadable: Sequence[str] = ()) -> str:
    """One record a line, in the order given; peaks in GiB."""
    where = shown_path(path)
    if not records:
        nothing = f"No records in {where} yet: `lora-plan verify` measures a run and stores what it finds."
        return page.finish([*page.wrap(nothing, first=""), *_unreadable(unreadable, page)])
    rows = [_cells(record, records) for record in records]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    widths |= {name: min(widths[name], most) for name, most in WIDEST.items()}
    wanted = widths["model"]
    widths["model"] = min(wanted, NARROWEST_MODEL)
    for name in SPARED:
        if _width(widths) > page.width:
            del widths[name]
    widths["model"] = min(wanted, widths["model"] + max(0, page.width - _width(widths)))
    legend = ["peaks in GiB"]
    if any(record.measurement.outcome == OUT_OF_MEMORY for record in records):
        legend.append(f"{OOM}: it ran out of memory")
    if any(record.measurement.slices is not None for record in records):
        legend.append(f"{SLICED}: extrapolated from slices of the model")
    count = f"{_counted(len(records), 'record')} in {where}; {'; '.join(legend)}."
    return page.finish(
        [
            page.style(_line({name: name for name in widths}, widths), "bold"),
            *(_line(row, widths) for row in rows),
            "",
            *page.wrap(count),
            *page.wrap("`lora-plan records show ID` prints all of one."),
            *_unreadable(unreadable, page),
        ]
    )


def export_text(path: Path, records: int, rows: int, page: Page, unreadable: Sequence[str] = ()) -> str:
    """What was written, and what it is for."""
    said = (
        f"{_counted(records, 'record')} in {shown_path(path)}, {_counted(rows, 'row')} of the corpus schema: "
        "`lora-plan records import` adds them elsewhere, `lora-plan validate --corpus` scores them."
    )
    return page.finish([*page.wrap(said), *_unreadable(unreadable, page)])


def import_text(path: Path, records: int, new: int, page: Page) -> str:
    """How many were new."""
    known = records - new
    there = f", {known:,} of them there before" if known else ""
    return page.finish(page.wrap(f"{_counted(records, 'record')} imported into {shown_path(path)}{there}."))


def model_name(run: TrainingRun) -> str:
    """What the run calls its model, without its folder: the file may be on another machine."""
    parts = [part for part in run.model.replace("\\", "/").split("/") if part]
    name = parts[-2] if len(parts) > 1 and parts[-1] == "config.json" else parts[-1] if parts else run.model
    return printable(name, 100)


def short_id(record: Record, records: Sequence[Record]) -> str:
    """So much of an id that it names one of `records`."""
    length = SHORT
    while sum(other.id[:length] == record.id[:length] for other in records) > 1 and length < len(record.id):
        length += 1
    return record.id[:length]


def _cells(record: Record, records: Sequence[Record]) -> dict[str, str]:
    measurement = record.measurement
    memory, device, time = measurement.memory, measurement.device, measurement.time
    sliced = SLICED if measurement.slices is not None else ""
    failed = OOM if measurement.outcome == OUT_OF_MEMORY else UNKNOWN
    peak = memory.peak_bytes if memory is not None else None
    # without a caching allocator nothing is reserved
    reserved = peak.reserved if peak is not None and device.usable_bytes is not None else None

    def figure(size: int | None, otherwise: str) -> str:
        return otherwise if size is None else f"{sliced}{gib_number(size)}"

    return {
        "id": short_id(record, records),
        "date": record.when[:10],
        "model": model_name(measurement.run),
        "method": method_title(measurement.run),
        "card": printable(device.gpu or device.name),
        "allocated": figure(peak.allocated if peak is not None else None, failed),
        "reserved": failed if failed == OOM else figure(reserved, UNKNOWN),
        "process": figure(peak.process if peak is not None else None, failed),
        "tokens/s": UNKNOWN if time is None else f"{sliced}{_speed(time.tokens_per_s)}",
    }


def _speed(tokens_per_s: float) -> str:
    return f"{tokens_per_s:,.{0 if tokens_per_s >= 100 else 1}f}"


def _width(widths: dict[str, int]) -> int:
    return sum(width + 2 for width in widths.values())


def _line(row: dict[str, str], widths: dict[str, int]) -> str:
    cells = [printable(row[name], width) for name, width in widths.items()]
    placed = [
        cell.ljust(width) if name in LEFT else cell.rjust(width)
        for cell, (name, width) in zip(cells, widths.items(), strict=True)
    ]
    return "  " + "  ".join(placed)


def _unreadable(sentences: Sequence[str], page: Page) -> list[str]:
    section = list_section("Not read", [printable(sentence, 400) for sentence in sentences], page)
    return ["", *section] if section else []


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

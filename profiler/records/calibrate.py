"""Plans of runs that were measured: the record stands in for the estimate as long as its key is the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.memory.ledger import Interval, Memory
from planner.plan import loaded_config
from planner.plan_types import Limits, Plan, PlannedGpu
from planner.units import format_bytes
from profiler.measure.types import OUT_OF_MEMORY, MeasuredDevice, Measurement
from profiler.records.calibrate_time import with_time
from profiler.records.changes import changes, unchecked
from profiler.records.here import Here
from profiler.records.key import READS_ONLY, digest, run_parts
from profiler.records.record import Record

EMPTY = 0.95
"""The share of what is usable that was free on a card without other processes."""


def plan_key(plan: Plan) -> str:
    """What the records of a plan's run have as their `run_key`."""
    return digest(run_parts(plan.run.to_dict(), loaded_config(plan.run.model).config))


def calibrated(plan: Plan, records: Sequence[Record], here: Here) -> Plan:
    """The plan with what was measured of its run on its card, and a note that says so; without such a record, as it is.

    records: those with the plan's `plan_key`, the newest first. The newest whole run is taken, or else the newest
    extrapolated one. A record of the run on the card whose libraries, driver or settings are others than those here is
    not used, and a note says what changed. What fits besides and the footprint stay estimates; so does the width of the
    intervals, for few runs are known that were repeated (five of the corpus reserved the same to 0.24 %).
    """
    record = chosen(plan, records, here)
    if record is not None:
        return _with_record(plan, record, here)
    on_card = _on_card(plan, records)
    same = [record for record in on_card if not changes(record, plan.run, here)]
    if same:
        return _noted(plan, f"Record {_named(same[0])} is not used: memory ran out while others had some of the card")
    if on_card:
        what = ", ".join(changes(on_card[0], plan.run, here))
        return _noted(plan, f"Record {_named(on_card[0])} is not used: it was measured with {what}; verify again")
    return plan


def chosen(plan: Plan, records: Sequence[Record], here: Here) -> Record | None:
    """The record that `calibrated` takes; None where it takes none."""
    usable = [
        record
        for record in _on_card(plan, records)
        if not changes(record, plan.run, here) and not _was_crowded(record.measurement)
    ]
    return next((record for record in usable if record.measurement.slices is None), usable[0] if usable else None)


def _on_card(plan: Plan, records: Sequence[Record]) -> list[Record]:
    return [record for record in records if plan.gpu is not None and _is_on(record.measurement.device, plan.gpu)]


def _is_on(device: MeasuredDevice, gpu: PlannedGpu) -> bool:
    """Whether a device is a whole card of that name: a MIG slice has the card's name and less memory."""
    return device.gpu == gpu.name and "MIG" not in device.name.split()


def _was_crowded(measurement: Measurement) -> bool:
    """Whether memory ran out on a card that others used too: an empty one may hold the run."""
    usable = measurement.device.usable_bytes
    crowded = usable is not None and measurement.device.free_bytes < EMPTY * usable
    return measurement.outcome == OUT_OF_MEMORY and crowded


def _with_record(plan: Plan, record: Record, here: Here) -> Plan:
    assert plan.gpu is not None
    measurement = record.measurement
    memory = _memory(plan.memory, measurement, plan.gpu)
    verdict = _verdict(memory, measurement, plan.gpu)
    timed = with_time(plan, measurement)
    return replace(
        timed,
        memory=memory,
        verdict=verdict,
        limits=_limits(plan, verdict),
        notes=(*timed.notes, *_notes(plan, record, here, with_time=timed is not plan)),
    )


def _memory(estimate: Memory, measurement: Measurement, gpu: PlannedGpu) -> Memory:
    measured = measurement.memory
    if measured is None:
        return estimate
    peak = measured.peak_bytes
    return Memory(
        peak_bytes=peak if peak.process is not None else replace(peak, process=peak.reserved + gpu.context_bytes),
        interval_bytes=_around(peak.reserved, estimate.interval_bytes, at_least=peak.allocated),
        allocated_interval_bytes=_around(peak.allocated, estimate.allocated_interval_bytes),
        instant=measured.instant,
        basis=measured.basis,
        instants=measured.instants,
    )


def _around(size: int, interval: Interval, at_least: int = 0) -> Interval:
    """The estimate's interval, as wide as it is, around what was measured instead."""
    middle = (interval.low + interval.high) / 2
    low, high = round(size * interval.low / middle), round(size * interval.high / middle)
    return replace(interval, low=max(low, at_least), high=high)


def _verdict(memory: Memory, measurement: Measurement, gpu: PlannedGpu) -> str:
    """As `planner.plan.verdict`; but memory that ran out did, and what ran on the card can run there."""
    if measurement.outcome == OUT_OF_MEMORY:
        return "does_not_fit"
    ran = measurement.slices is None
    if memory.interval_bytes.high <= gpu.usable_bytes and not (ran and measurement.retries):
        return "fits"
    return "tight" if ran or memory.allocated_interval_bytes.low <= gpu.usable_bytes else "does_not_fit"


def _limits(plan: Plan, verdict: str) -> Limits | None:
    """The estimate's limits, where they do not contradict what was measured of the run itself."""
    limits, run = plan.limits, plan.run
    if limits is None:
        return None
    batch, length = limits.max_micro_batch_size or 0, limits.max_seq_len or 0
    if verdict == "fits":
        batch, length = max(batch, run.micro_batch_size), max(length, run.sequence_length)
    elif verdict == "does_not_fit":
        batch, length = min(batch, run.micro_batch_size - 1), min(length, run.sequence_length - 1)
    return replace(limits, max_micro_batch_size=batch or None, max_seq_len=length or None)


def _notes(plan: Plan, record: Record, here: Here, *, with_time: bool) -> list[str]:
    measurement = record.measurement
    device, slices, failed = measurement.device, measurement.slices, measurement.out_of_memory
    stack = [f"{name} {version}" for name, version in measurement.versions if name not in READS_ONLY]
    ran_on = ", ".join([*([f"driver {device.driver}"] if device.driver is not None else []), *stack])
    notes: list[str] = []
    if failed is not None:
        sizes = [
            f"{format_bytes(size)} {what}"
            for size, what in ((failed.allocated_bytes, "allocated"), (failed.requested_bytes, "more asked for"))
            if size is not None
        ]
        notes.append(
            f"Record {_named(record)} says that it does not fit: memory ran out on {device.name} ({ran_on})"
            + (f", with {' and '.join(sizes)}" if sizes else "")
        )
    if measurement.memory is not None:
        what = "Memory and time are" if with_time else "Memory is"
        notes.append(
            f"{what} measured: record {_named(record)}, on {device.name} ({ran_on}); the estimate was "
            f"{format_bytes(plan.memory.peak_bytes.reserved)} reserved"
            + (f" and {plan.time.tokens_per_s:,.0f} tokens/s" if with_time and plan.time is not None else "")
        )
        if slices is not None:
            depths = " and ".join(map(str, slices.depths))
            notes.append(f"The measurement is extrapolated from slices of {depths} layers")
        notes.append(
            "Intervals are as wide as the estimate's: how far one run is from the next was not measured. What fits "
            "besides, suggestions, other cards and what is needed off the GPU stay estimates"
        )
    missing = unchecked(record, plan.run, here)
    if missing:
        notes.append(f"Not installed here, so that they may be others than the record's: {', '.join(missing)}")
    return notes


def _named(record: Record) -> str:
    return f"{record.id[:8]} of {record.when[:10]}"


def _noted(plan: Plan, note: str) -> Plan:
    return replace(plan, notes=(*plan.notes, note))

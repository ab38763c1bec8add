"""What is off between the levels: the allocator's cache, the context of the process, other processes on the card."""

from __future__ import annotations

from collections.abc import Iterator

from planner.catalogue.gpus import largest_driver_share
from planner.units import format_bytes
from profiler.causes.evidence import Cause, Evidence, mark
from profiler.measure.types import Measurement

_SAID = {"formula": "estimated", "simulation": "simulated"}


def cached_memory(evidence: Evidence) -> Iterator[Cause]:
    """Reserved less allocated, at the peaks: holes that no tensor fitted into, and what was given back."""
    reconciliation, measurement = evidence.reconciliation, evidence.measurement
    if reconciliation is None or measurement.device.usable_bytes is None or measurement.slices is not None:
        return  # nothing reserved the memory of the run
    allocated, reserved = (line.bytes for line in reconciliation.levels[:2])
    *before, measured = ((held or 0) - (live or 0) for live, held in zip(allocated, reserved, strict=True))
    for basis, said in zip(reconciliation.columns, before, strict=False):
        if abs(measured - said) <= mark(reconciliation):
            continue
        why = "pieces too small for what came next" if measured > said else "freed pieces were used again more often"
        if retries := measurement.retries:
            why += f"; it ran full and gave back its cache {'once' if retries == 1 else f'{retries:,} times'}"
        yield Cause(
            "reserved",
            said - measured,
            f"allocator's cache: {format_bytes(measured)} at the peaks, {format_bytes(abs(measured - said))} "
            f"{'more' if measured > said else 'less'} than {_SAID.get(basis, basis)}: {why}",
        )
        return


def context(evidence: Evidence) -> Iterator[Cause]:
    """Process less reserved: driver structures and loaded kernels."""
    reconciliation, plan = evidence.reconciliation, evidence.plan
    if reconciliation is None or plan is None or plan.gpu is None or not evidence.same_card:
        return
    reserved, process = (line.bytes[-1] for line in reconciliation.levels[1:])
    if reserved is None or process is None:
        return
    outside, said = process - reserved, plan.gpu.context_bytes
    if abs(outside - said) > mark(reconciliation):
        device = evidence.measurement.device
        stack = " and ".join(filter(None, [device.driver and f"driver {device.driver}", device.runtime]))
        yield Cause(
            "process",
            said - outside,
            f"process: {format_bytes(outside)} outside the allocator, {format_bytes(abs(outside - said))} "
            f"{'more' if outside > said else 'less'} than the {format_bytes(said)} counted for the context: which "
            f"kernels are loaded, and the driver, decide that{f' ({stack})' if stack else ''}",
        )


def shared_card(evidence: Evidence) -> Iterator[Cause]:
    """What other processes hold of the card, which leaves less for this one."""
    if others := held_by_others(evidence.measurement):
        yield Cause(
            "device",
            None,
            f"shared card: up to {format_bytes(others)} of it are held by other processes, so that less was left",
        )


def held_by_others(measurement: Measurement) -> int:
    """Bytes of the card that other processes hold; 0 where it is no more than what a driver keeps for itself."""
    device, sampled = measurement.device, measurement.sampled
    seen = [(level.device, level.process) for level in measurement.levels]
    seen.append((sampled.device_peak_bytes, sampled.process_peak_bytes))
    others = max((whole - own for whole, own in seen if whole is not None and own is not None), default=0)
    if device.usable_bytes is not None:
        others = max(others, device.usable_bytes - device.free_bytes)
    return others if others > largest_driver_share() * device.memory_bytes else 0

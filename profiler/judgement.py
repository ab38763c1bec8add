"""The verdict on what was said of a run, and the figures that it rests on."""

from __future__ import annotations

from typing import NamedTuple

from planner.memory.ledger import Ledgers
from planner.units import format_bytes
from profiler.causes.evidence import Evidence
from profiler.causes.levels import held_by_others
from profiler.measure.types import Measurement
from profiler.reconcile import Reconciliation

WITHIN, OUTSIDE, UNKNOWN = "within", "outside", "unknown"

CACHING = ("cuda", "xpu")
"""Kinds of device whose memory PyTorch's caching allocator holds."""

_NAMES = {"formula": "estimate", "simulation": "simulation"}


class Judgement(NamedTuple):
    """A verdict, and why, in one sentence."""

    verdict: str
    because: str


def judged(evidence: Evidence, tolerance: float, why_no_plan: str | None, why_no_simulation: str | None) -> Judgement:
    """The verdict on memory: on whether it ran out where it did, else on the peak at `judged_level`."""
    reconciliation = evidence.reconciliation
    if evidence.measurement.out_of_memory is not None:
        return _of_out_of_memory(evidence)
    if reconciliation is None or len(reconciliation.columns) == 1 or not reconciliation.levels[1].bytes[-1]:
        return Judgement(UNKNOWN, _nothing_to_hold_to(evidence.measurement, why_no_plan, why_no_simulation))
    return _of_level(reconciliation, judged_level(evidence.measurement), tolerance)


def judged_level(measurement: Measurement) -> str:
    """`reserved`, which decides an out-of-memory; `allocated` where nothing reserved the run's memory.

    A CPU has no caching allocator, and slices have none of the whole model.
    """
    return "reserved" if measurement.device.kind in CACHING and measurement.slices is None else "allocated"


def _of_level(reconciliation: Reconciliation, level: str, tolerance: float) -> Judgement:
    line = next(line for line in reconciliation.levels if line.name == level)
    measured = line.bytes[-1] or 0
    said = [
        f"{_NAMES.get(basis, basis)} {format_bytes(size or 0)} ({_signed(relative or 0)})"
        for basis, size, relative in zip(reconciliation.columns, line.bytes, line.relative, strict=False)
    ]
    off = max(abs(relative or 0) for relative in line.relative)
    verdict = WITHIN if off <= tolerance else OUTSIDE
    return Judgement(verdict, f"measured {format_bytes(measured)} {level}, {', '.join(said)}")


def _signed(share: float) -> str:
    text = f"{share:+,.1%}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def _nothing_to_hold_to(measurement: Measurement, why_no_plan: str | None, why_no_simulation: str | None) -> str:
    memory = measurement.memory
    measured = "no whole step was measured"
    if memory is not None:
        level = judged_level(measurement)
        peak = memory.peak_bytes.reserved if level == "reserved" else memory.peak_bytes.allocated
        measured = f"measured {format_bytes(peak)} {level}, and there is nothing to hold it to"
    reasons = [
        f"no {name}: {why}" for name, why in (("estimate", why_no_plan), ("simulation", why_no_simulation)) if why
    ]
    return "; ".join([measured, *reasons])


def _of_out_of_memory(evidence: Evidence) -> Judgement:
    """Memory ran out: right where it was said that the run does not fit, wrong where it was said that it does."""
    measurement = evidence.measurement
    failed = measurement.out_of_memory
    assert failed is not None
    when = f"at step {failed.step}, {failed.instant.replace('_', ' ')}" if failed.step else "while loading"
    asked = f", where {format_bytes(failed.requested_bytes)} were asked for" if failed.requested_bytes else ""
    ran_out = f"memory ran out {when}{asked}"
    if measurement.slices is not None:
        layers = measurement.slices.depths[-1]
        return Judgement(UNKNOWN, f"{ran_out}: not even slices of up to {layers} layers fit this device")
    claims = [
        (name, _claim(evidence, said.verdict, said.memory), said.memory.peak_bytes.reserved)
        for name, said in (("estimate", evidence.plan), ("simulation", evidence.simulation))
        if said is not None
    ]
    known = [(name, claim, reserved) for name, claim, reserved in claims if claim is not None]
    if not known:
        return Judgement(UNKNOWN, f"{ran_out}, and nothing said before whether it would")
    words = ", ".join(
        f"{name}: {claim.replace('_', ' ')}, {format_bytes(reserved)} reserved" for name, claim, reserved in known
    )
    others = held_by_others(measurement)
    if any(claim == "fits" for _, claim, _ in known):
        if others:
            held = f"other processes held {format_bytes(others)} of the card"
            return Judgement(UNKNOWN, f"{ran_out}, but {held} ({words})")
        return Judgement(OUTSIDE, f"{ran_out}, against what was said ({words})")
    if any(claim == "does_not_fit" for _, claim, _ in known):
        return Judgement(WITHIN, f"{ran_out}, as was said ({words})")
    return Judgement(UNKNOWN, f"{ran_out}, which was neither promised nor excluded ({words})")


def _claim(evidence: Evidence, verdict: str | None, memory: Ledgers) -> str | None:
    """fits, tight or does_not_fit: as said of this card, or by what it has where another one was planned for."""
    if evidence.same_card and verdict is not None:
        return verdict
    failed, device = evidence.measurement.out_of_memory, evidence.measurement.device
    room = (failed.capacity_bytes if failed else None) or device.usable_bytes
    if room is None:
        return None
    return "does_not_fit" if memory.peak_bytes.reserved > room else "fits"


def with_time(judgement: Judgement, evidence: Evidence, why_not: str | None) -> Judgement:
    """The verdict on memory, and on whether a step takes as long as was said; why_not: why nothing was."""
    time, estimated = evidence.measurement.time, evidence.estimated_time
    if estimated is None or time is None:
        verdict = judgement.verdict if judgement.verdict == OUTSIDE else UNKNOWN
        return Judgement(verdict, f"{judgement.because}; of time: {why_not or 'no step was timed'}")
    inside = estimated.low_s <= time.step_s <= estimated.high_s
    said = f"between {estimated.low_s:.3g} and {estimated.high_s:.3g} s were expected"
    verdict = judgement.verdict if inside else OUTSIDE
    return Judgement(verdict, f"{judgement.because}; a step took {time.step_s:.3g} s, where {said}")

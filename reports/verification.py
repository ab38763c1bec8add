"""A verification for people: the verdict first, then every line of the estimate beside what was measured, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.units import format_bytes
from profiler.judgement import OUTSIDE, UNKNOWN, WITHIN
from profiler.measure.types import MeasuredDevice, MeasuredOutOfMemory, Slices
from profiler.reconcile import STANDS_OUT, Reconciliation
from profiler.verification import Verification
from reports.measured import basis, levels_section, listed, measured_time_section
from reports.page import Page
from reports.reconciliation import reconciliation_section
from reports.sections import joined, list_section
from reports.trainer_config import config_sections, uncounted_lines
from reports.verdict import method_title, model_title, trained

if TYPE_CHECKING:
    from planner.trainer_configs import Reading

_COLOURS = {WITHIN: "green", OUTSIDE: "red", UNKNOWN: "yellow"}


def verification_text(
    verification: Verification,
    page: Page,
    *,
    record: str | None = None,
    notes: Sequence[str] = (),
    reading: Reading | None = None,
) -> str:
    """The whole view of a verification, within the page's width.

    record: where the measurement was stored. notes: what there is to say beside what the measurement says.
    reading: of the config that the run is from.
    """
    measurement, reconciliation = verification.measurement, measured_levels(verification)
    notes = [*notes, *measurement.notes, *([f"stored as {record}"] if record else [])]
    sections = [
        [*_verdict(verification, page), *uncounted_lines(reading, page)],
        reconciliation_section(reconciliation, page, note=missing(verification)) if reconciliation else [],
        levels_section(measurement.levels, page),
        measured_time_section(verification, page),
        list_section("What is off, and why", causes_in_words(verification), page),
        config_sections(reading, page),
        list_section("What it rests on", [*basis(measurement), *left_out(verification)], page),
        list_section("Notes", notes, page),
    ]
    return page.finish(joined(sections))


def measured_levels(verification: Verification) -> Reconciliation | None:
    """Without the reserved level of a CPU, which is a replay and has nothing measured in it."""
    reconciliation = verification.reconciliation
    if reconciliation is None or verification.measurement.device.kind != "cpu":
        return reconciliation
    return replace(reconciliation, levels=tuple(line for line in reconciliation.levels if line.name != "reserved"))


def _verdict(verification: Verification, page: Page) -> list[str]:
    """The verdict, the run and the device; the figures it rests on; the allocation that failed, where one did."""
    measurement = verification.measurement
    word, colour = verdict_word(verification), _COLOURS[verification.verdict]
    meant_for = f" for {verification.another_card}" if verification.another_card else ""
    run = f"{model_title(measurement.run)} {method_title(measurement.run)}{meant_for}"
    how = "measured in slices" if measurement.slices is not None else "measured"
    title = f"{run} on {measurement.device.name}, {how}"
    head, *more = page.wrap(f"{word}   {title}", first="", rest=" " * (len(word) + 3))
    failed = measurement.out_of_memory
    return [
        page.style(word, "bold", colour) + page.style(head.removeprefix(word), "bold"),
        *(page.style(line, "bold") for line in more),
        *page.wrap(verification.because),
        *(page.wrap(_stands_for(measurement.slices)) if measurement.slices and measurement.memory else []),
        *page.wrap(interval_sentence(verification)),
        *(page.wrap(failure_sentence(failed)) if failed is not None else []),
        *page.wrap(trained(measurement.parameters)),
        *(page.style(line, "dim") for line in page.wrap(device_in_words(measurement.device))),
    ]


def verdict_word(verification: Verification) -> str:
    """`WITHIN 5%`, `OUTSIDE 5%`; of out of memory `OUT OF MEMORY` with whether that was said; `NOT DECIDED`."""
    ran_out = verification.measurement.out_of_memory is not None
    if verification.verdict == UNKNOWN:
        return "OUT OF MEMORY" if ran_out else "NOT DECIDED"
    if ran_out:
        return "OUT OF MEMORY, as said" if verification.verdict == WITHIN else "OUT OF MEMORY, not foreseen"
    word = "WITHIN" if verification.verdict == WITHIN else "OUTSIDE"
    # with time there are two bounds
    return word if verification.check_time else f"{word} {100 * verification.tolerance:g}%"


def _stands_for(slices: Slices) -> str:
    return (
        f"every figure stands for the whole model of {slices.layers} layers: it follows from models of "
        f"{listed(slices.depths)} layers at full width, which were run"
    )


def interval_sentence(verification: Verification) -> str:
    """The interval of the estimate, and whether what was measured is in it."""
    plan, reconciliation = verification.plan, verification.reconciliation
    if plan is None or reconciliation is None or verification.without_runtime:
        return ""
    interval, measured = plan.memory.interval_bytes, reconciliation.levels[1].bytes[-1] or 0
    inside = "is in it" if interval.low <= measured <= interval.high else "is outside"
    return (
        f"the estimate's interval, {format_bytes(interval.low)} to {format_bytes(interval.high)}, is meant to hold "
        f"{interval.coverage:.0%} of runs: this one {inside}"
    )


def failure_sentence(failed: MeasuredOutOfMemory) -> str:
    """What there was when the allocation failed, and torch's own words."""
    sizes = [
        f"{format_bytes(size)} {what}"
        for size, what in (
            (failed.allocated_bytes, "live"),
            (failed.reserved_bytes, "reserved"),
            (failed.capacity_bytes, "there in all"),
        )
        if size is not None
    ]
    return ", ".join([*sizes, f"torch says: {failed.message}"])


def device_in_words(device: MeasuredDevice) -> str:
    """`NVIDIA A100-SXM4-80GB: 80.0 GiB, 79.1 GiB free before; driver 580.95.05, CUDA 13.0`"""
    memory = f"{format_bytes(device.memory_bytes)}, {format_bytes(device.free_bytes)} free before"
    versions = [
        text
        for text in (
            device.driver and f"driver {device.driver}",
            device.runtime,
            device.compute_capability and f"compute capability {device.compute_capability}",
        )
        if text
    ]
    return "; ".join([f"{device.name} ({device.kind}): {memory}", *([", ".join(versions)] if versions else [])])


def missing(verification: Verification) -> str:
    """What the columns lack, and why."""
    if verification.plan is None and verification.simulation is None:
        return ""  # which the verdict says
    lacks = [
        f"no {name}: {why}"
        for name, said, why in (
            ("estimate", verification.plan, verification.why_no_plan),
            ("simulation", verification.simulation, verification.why_no_simulation),
        )
        if said is None and why
    ]
    return "; ".join(lacks)


def causes_in_words(verification: Verification) -> list[str]:
    """Why something is off, a sentence each."""
    if verification.causes or verification.verdict != OUTSIDE or verification.reconciliation is None:
        return [cause.sentence for cause in verification.causes]
    return [f"no line by itself is more than {STANDS_OUT:.0%} of the peak apart: small differences add up"]


def left_out(verification: Verification) -> list[str]:
    """What was left out of the comparison, or carried over."""
    device, said = verification.measurement.device, list[str]()
    if device.kind == "cpu":
        said.append(
            "on a CPU allocated is what live tensors take; what an allocator reserves around them is not measured "
            "there, and `lora-plan simulate` says it"
        )
    if verification.another_card:
        said.append(f"measured for {verification.another_card} on another device: memory carries over, time does not")
    if verification.without_runtime and verification.reconciliation is not None:
        said.append("what cuBLAS takes for itself on a card is left out of every column")
    return said

"""A plan of a run that was measured says what was measured, until something that moves it has changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.job import Job
from planner.memory.ledger import Instant, Ledgers, Levels
from planner.plan import plan
from planner.plan_types import Plan
from planner.run import TrainingRun
from planner.units import GIB, MIB
from profiler.measure.types import Measurement
from profiler.records.calibrate import calibrated, plan_key
from profiler.records.here import Here
from profiler.records.record import Record
from tests.profiler.records.measurements import (
    A100,
    CPU,
    DAY,
    RUN,
    VERSIONS,
    in_slices,
    measured,
    out_of_memory,
    planned,
    recorded,
)

HERE = Here(dict(VERSIONS), "580.95.05", {})
BARE = Here({}, None, {})


def with_records(*records: Record, here: Here = HERE, of: Plan | None = None) -> Plan:
    return calibrated(of or planned(), records, here)


def of_size(allocated: int, reserved: int, measurement: Measurement | None = None) -> Record:
    """A measurement with a peak of so many bytes."""
    instants = (Instant("loss", {"temporaries": allocated}),)
    memory = Ledgers(
        peak_bytes=Levels(allocated, reserved, None), instant="loss", basis="measurement", instants=instants
    )
    return recorded(replace(measurement or measured(), memory=memory, levels=()))


def new_notes(plan: Plan) -> tuple[str, ...]:
    assert plan.notes[: len(planned().notes)] == planned().notes
    return plan.notes[len(planned().notes) :]


def test_the_plan_is_what_was_measured() -> None:
    record = recorded()
    now = with_records(record)
    memory, time = record.measurement.memory, record.measurement.time
    assert memory is not None and time is not None and now.time is not None
    assert now.memory.peak_bytes == memory.peak_bytes
    assert now.memory.instants == memory.instants
    assert (now.memory.instant, now.memory.basis) == (memory.instant, "measurement")
    assert (now.time.step_s, now.time.mfu, now.time.hfu, now.time.basis) == (1.51, 0.4, 0.5, "measurement")
    assert planned().time is not None
    scale = 1.51 / planned().time.step_s
    assert (now.time.low_s, now.time.high_s) == (planned().time.low_s * scale, planned().time.high_s * scale)
    assert (now.footprint, now.limits, now.verdict) == (planned().footprint, planned().limits, "fits")
    said, intervals = new_notes(now)
    assert said.startswith(
        f"Memory and time are measured: record {record.id[:8]} of 2026-07-29, on NVIDIA A100-SXM4-80GB "
        "(driver 580.95.05, python 3.11.9, torch 2.13.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2); the "
        "estimate was 13.9 GiB reserved and 2,682 tokens/s"
    )
    assert "how far one run is from the next was not measured" in intervals


def test_terms_add_up_to_the_step() -> None:
    time = with_records(recorded()).time
    assert time is not None
    assert sum(term.seconds for term in time.terms) == pytest.approx(time.step_s)
    # forward 0.5 and backward 0.875 of a mean of 1.51, by hand
    assert [round(term.seconds, 4) for term in time.terms] == [0.5, 0.875, 0.125, 0.01]


def test_intervals_are_as_wide_as_the_estimates() -> None:
    now, estimate = with_records(of_size(10 * GIB, 16 * GIB)).memory, planned().memory
    for size, interval, of in (
        (16 * GIB, now.interval_bytes, estimate.interval_bytes),
        (10 * GIB, now.allocated_interval_bytes, estimate.allocated_interval_bytes),
    ):
        assert (interval.low + interval.high) / 2 == pytest.approx(size)
        assert interval.high / interval.low == pytest.approx(of.high / of.low)
        assert (interval.level, interval.coverage) == (of.level, of.coverage)


@given(st.integers(MIB, 10**12), st.integers(0, 10**11))
def test_any_size(allocated: int, cache: int) -> None:
    now = with_records(of_size(allocated, allocated + cache))
    interval = now.memory.interval_bytes
    assert allocated <= interval.low <= allocated + cache <= interval.high
    assert now.gpu is not None
    assert (now.verdict == "fits") == (interval.high <= now.gpu.usable_bytes)


def test_what_the_process_takes_is_the_estimates_where_it_was_not_measured() -> None:
    now = with_records(of_size(10 * GIB, 11 * GIB))
    assert now.gpu is not None
    assert now.memory.peak_bytes.process == 11 * GIB + now.gpu.context_bytes


def test_the_job_takes_as_much_longer() -> None:
    with_job = plan(RUN, "a100-80", Job(examples=1000))
    now = with_records(recorded(), of=with_job)
    assert with_job.job is not None and with_job.time is not None and now.job is not None
    assert now.job.part("training").seconds == pytest.approx(1000 * 1.51, rel=1e-6)
    assert now.job.part("start-up") == with_job.job.part("start-up")
    assert now.job.part("training").low_s / now.job.part("training").high_s == pytest.approx(
        with_job.job.part("training").low_s / with_job.job.part("training").high_s
    )


def test_time_of_other_lengths_is_left_out() -> None:
    time = measured().time
    assert time is not None
    now = with_records(recorded(replace(measured(), time=replace(time, tokens=1000))))
    assert now.time == planned().time
    assert new_notes(now)[0].startswith("Memory is measured: record ")
    assert with_records(recorded(replace(measured(), time=None))).time == planned().time


def test_the_newest_whole_run_is_taken() -> None:
    newer = recorded(measured(share=1.2), DAY + timedelta(days=1))
    sliced = recorded(in_slices(), DAY + timedelta(days=2))
    assert with_records(sliced, newer, recorded()) == with_records(newer)
    assert with_records(sliced) != with_records(newer)


def test_slices_are_said() -> None:
    now = with_records(recorded(in_slices()))
    assert new_notes(now)[1] == "The measurement is extrapolated from slices of 2 and 3 layers"
    assert now.time is not None
    assert [(term.name, term.seconds) for term in now.time.terms] == [("a whole step", 1.51)]


@pytest.mark.parametrize(
    ("sizes", "retries", "verdict"),
    [
        ((20 * GIB, 21 * GIB), 0, "fits"),
        ((20 * GIB, 21 * GIB), 1, "tight"),
        ((70 * GIB, 78 * GIB), 0, "tight"),
        # it ran, whatever the catalogue says of the card
        ((79 * GIB, 79 * GIB), 0, "tight"),
    ],
)
def test_the_verdict_on_what_ran(sizes: tuple[int, int], retries: int, verdict: str) -> None:
    assert with_records(of_size(*sizes, replace(measured(), retries=retries))).verdict == verdict


@pytest.mark.parametrize(
    ("sizes", "verdict"),
    [((20 * GIB, 21 * GIB), "fits"), ((70 * GIB, 78 * GIB), "tight"), ((90 * GIB, 91 * GIB), "does_not_fit")],
)
def test_the_verdict_on_what_was_extrapolated(sizes: tuple[int, int], verdict: str) -> None:
    now = with_records(of_size(*sizes, in_slices()))
    assert now.verdict == verdict
    assert now.limits is not None
    fits = now.limits.max_micro_batch_size is not None
    assert fits == (verdict != "does_not_fit")


def test_a_run_that_fits_is_within_its_limits() -> None:
    large = plan(RUN.replace(micro_batch_size=64, sequence_length=4096), "a100-80")
    assert (large.verdict, large.limits and large.limits.max_micro_batch_size) != ("fits", 64)
    now = with_records(of_size(20 * GIB, 21 * GIB), of=large)
    assert now.limits is not None
    assert (now.limits.max_micro_batch_size, now.limits.max_seq_len) == (64, 4096)


def test_out_of_memory_does_not_fit() -> None:
    record = recorded(out_of_memory())
    now = with_records(record)
    assert (now.verdict, now.memory, now.time) == ("does_not_fit", planned().memory, planned().time)
    assert new_notes(now) == (
        f"Record {record.id[:8]} of 2026-07-29 says that it does not fit: memory ran out on NVIDIA A100-SXM4-80GB "
        "(driver 580.95.05, python 3.11.9, torch 2.13.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2), with "
        "79.0 GiB allocated and 2.0 GiB more asked for",
    )
    assert now.limits is not None
    assert now.limits.max_micro_batch_size is None


def test_out_of_memory_on_a_crowded_card_says_nothing() -> None:
    crowded = recorded(out_of_memory(device=replace(A100, free_bytes=10 * GIB)), DAY + timedelta(days=1))
    now = with_records(crowded)
    assert replace(now, notes=planned().notes) == planned()
    assert new_notes(now)[0].endswith("is not used: memory ran out while others had some of the card")
    assert with_records(crowded, recorded()) == with_records(recorded())


@pytest.mark.parametrize(
    ("here", "what"),
    [
        (Here(dict(VERSIONS) | {"torch": "2.14.0"}, None, {}), "torch 2.13.0 (2.14.0 is installed now)"),
        (Here({"peft": "0.20.0"}, None, {}), "peft 0.21.2 (0.20.0 is installed now)"),
        (Here({}, "570.86.10", {}), "driver 580.95.05 (570.86.10 is installed now)"),
        (Here(dict(VERSIONS) | {"python": "3.12.1"}, None, {}), "Python 3.11.9 (3.12.1 is here now)"),
        (
            Here({}, None, {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}),
            "PYTORCH_ALLOC_CONF not set (PYTORCH_ALLOC_CONF=expandable_segments:True now)",
        ),
    ],
)
def test_it_stops_when_something_has_changed(here: Here, what: str) -> None:
    record = recorded()
    now = with_records(record, here=here)
    assert replace(now, notes=planned().notes) == planned()
    assert new_notes(now) == (
        f"Record {record.id[:8]} of 2026-07-29 is not used: it was measured with {what}; verify again",
    )


@pytest.mark.parametrize(
    "here",
    [
        HERE,
        BARE,
        Here(dict(VERSIONS) | {"torch": "2.13.0+cu130", "python": "3.11.2"}, "580.95.05", {"PATH": "/bin"}),
        # another Python, of a machine that has no torch
        Here({"python": "3.13.1"}, None, {}),
    ],
)
def test_it_is_used_while_nothing_has(here: Here) -> None:
    assert with_records(recorded(), here=here).memory.basis == "measurement"


def test_what_could_not_be_compared_is_said() -> None:
    assert new_notes(with_records(recorded(), here=BARE))[-1] == (
        "Not installed here, so that they may be others than the record's: torch, transformers, peft, bitsandbytes"
    )


def test_a_build_counts_where_both_say_it() -> None:
    record = recorded(replace(measured(), versions=(("torch", "2.13.0+cu130"),)))
    assert with_records(record, here=Here({"torch": "2.13.0+cu130"}, None, {})).memory.basis == "measurement"
    assert with_records(record, here=Here({"torch": "2.13.0+cu128"}, None, {})).memory.basis == "formula"


def test_a_release_that_the_run_names_goes_before_the_one_installed() -> None:
    older = plan(RUN.replace(transformers_version="5.20.0"), "a100-80")
    assert with_records(recorded(), of=older).memory.basis == "formula"
    record = recorded(replace(measured(), versions=tuple((dict(VERSIONS) | {"transformers": "5.20.0"}).items())))
    assert with_records(record, of=older).memory.basis == "measurement"
    assert plan_key(older) == record.run_key


def test_another_card_has_no_record() -> None:
    for device in (CPU, replace(A100, gpu=None), replace(A100, name="NVIDIA A100-SXM4-80GB MIG 1g.10gb")):
        assert with_records(recorded(measured(device=device))) == planned()
    assert with_records(recorded(), of=planned(RUN, "h100")) == planned(RUN, "h100")
    assert with_records(recorded(), of=planned(RUN, None)) == planned(RUN, None)


def test_the_key_of_a_plan_is_the_key_of_its_run() -> None:
    assert plan_key(planned()) == recorded().run_key
    same = TrainingRun(model="meta-llama/Llama-3.1-8B", method="QLoRA", alpha=3)
    assert plan_key(plan(same, "h100")) == recorded().run_key
    assert plan_key(planned(RUN.replace(rank=8))) != recorded().run_key

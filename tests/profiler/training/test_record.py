"""A watched training as a measurement: ledgers that add up, and documents that come back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.plan_types import Parameters
from planner.run import TrainingRun
from profiler.documents import from_document, to_document
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.types import Measurement
from profiler.training.record import ledgers, measurement, versions
from profiler.training.shapes import Shape
from profiler.training.training import Peak, Watched
from tests.lora_plan.trainings import StandIn

RUN = TrainingRun(model="llama-3.2-1b", method="lora", sequence_length=64)
HELD = {"base_weights": 1000, "adapters": 40, "gradients": 40, "optimizer_states": 80}
SEEN = Watched(
    steps=4,
    peak=Peak(5000, "forward_and_backward", 3, Shape(1, 64)),
    levels=AllocatorLevels(1200, 6000, 5000, 6000, retries=1),
    update=AllocatorLevels(1300, 6000, 4000, 6000, retries=0),
    held=HELD,
    host_peak=10**9,
    shortest=Shape(1, 64),
    largest=Shape(1, 64),
    timed=2,
    seconds=1.0,
    squares=0.5,
    tokens=128,
)


def measured(watched: Watched, failure: str | None = None) -> Measurement | None:
    device = StandIn().described()
    return measurement(
        RUN, device, watched, failure, parameters=Parameters(1000, 10), layers=16, loss=2.5, notes=("a note",)
    )


def test_ledgers_add_up_to_what_the_allocator_counted() -> None:
    found = ledgers(SEEN)
    assert found is not None
    assert (found.peak_bytes.allocated, found.peak_bytes.reserved, found.basis) == (5000, 6000, "measurement")
    passes, update = found.instants
    assert passes.name == found.instant == "forward_and_backward"
    # gradients come and go in the passes, and are part of what is not told apart
    assert passes.components == {
        "base_weights": 1000,
        "adapters": 40,
        "optimizer_states": 80,
        "forward_and_backward": 5000 - 1120,
    }
    assert update.components == HELD | {"temporaries": 1300 - 1160}


@given(st.integers(0, 10**4), st.integers(0, 10**4), st.sampled_from(["forward_and_backward", "optimizer_step", "x"]))
def test_they_always_add_up(peak: int, update: int, instant: str) -> None:
    levels = AllocatorLevels(update, update, update, update, retries=0)
    named = "between_steps" if instant == "x" else instant
    found = ledgers(replace(SEEN, peak=Peak(peak, named, 2, None), update=levels))
    assert found is not None and found.peak.allocated_bytes == peak
    assert all(size >= 0 for one in found.instants for size in one.components.values())


def test_the_measurement_survives_as_a_document() -> None:
    made = measured(SEEN)
    assert made is not None and made.time is not None
    assert (made.outcome, made.retries, made.time.step_s, made.time.tokens) == ("done", 1, 0.5, 64)
    assert from_document(Measurement, to_document(made)) == made


def test_an_out_of_memory_is_of_the_step_that_was_under_way() -> None:
    made = measured(replace(SEEN, held=None), "CUDA out of memory")
    assert made is not None and made.out_of_memory is not None and made.memory is None
    assert (made.out_of_memory.step, made.out_of_memory.allocated_bytes) == (5, 1200)


@pytest.mark.parametrize("watched", [replace(SEEN, peak=None), replace(SEEN, held=None), replace(SEEN, levels=None)])
def test_what_says_nothing_of_memory_is_no_measurement(watched: Watched) -> None:
    assert measured(watched) is None


def test_versions_are_those_installed() -> None:
    import torch

    assert dict(versions())["torch"] == torch.__version__
    assert versions()[0][0] == "python"

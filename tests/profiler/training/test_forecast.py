"""The forecast of batches to come, against the planner's own figures and a search by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.plan import plan_memory
from planner.run import TrainingRun
from planner.units import GIB
from profiler.measure.device.base import AllocatorLevels
from profiler.training.forecast import STEP, Forecast, forecast, forecast_sentence, largest_below
from profiler.training.shapes import Shape

RUN = TrainingRun(model="llama-3.2-1b", method="lora", sequence_length=512)


def planned(length: int, batch: int = 1) -> tuple[int, int]:
    memory = plan_memory(RUN.replace(sequence_length=length, micro_batch_size=batch))
    # what loading takes is no part of a step
    return max(one.allocated_bytes for one in memory.instants if one.name != "load"), memory.peak_bytes.reserved


def test_the_plans_difference_is_added_to_what_was_measured() -> None:
    measured = AllocatorLevels(0, 0, peak_allocated=10**10, peak_reserved=12 * 10**9, retries=0)
    step, largest, coming = Shape(1, 300), Shape(1, 512), Shape(1, 2048)
    found = forecast(RUN, coming, 7, 20 * 10**9, measured, step, largest)
    assert found.allocated == 10**10 + planned(2048)[0] - planned(300)[0]
    assert found.reserved == max(12 * 10**9 + planned(2048)[1] - planned(512)[1], found.allocated)
    assert found.measured and found.number == 7


def test_without_a_measurement_it_is_the_plan() -> None:
    found = forecast(RUN, Shape(2, 1024), None, 10**12, None, Shape(1, 64), Shape(1, 64))
    assert (found.allocated, found.reserved) == planned(1024, 2)
    assert found.fits and found.longest_that_fits == 1024 and not found.measured


def test_the_length_that_it_names_is_the_longest_that_fits() -> None:
    usable = planned(1000)[1]
    found = forecast(RUN, Shape(1, 4096), None, usable, None, Shape(1, 64), Shape(1, 64))
    assert not found.fits
    assert found.longest_that_fits == 960  # of 1000, down to a multiple of 64
    assert planned(960)[1] <= usable < planned(1024)[1]


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_a_search_finds_the_largest(limit: int, most: int) -> None:
    found = largest_below(lambda length: length <= limit, most)
    if limit >= most:
        assert found == most
    elif limit == 0:
        assert found is None
    else:
        assert found == (limit // STEP * STEP if limit >= STEP else limit)


def made(**changes: object) -> Forecast:
    given: dict[str, object] = {
        "shape": Shape(1, 3871),
        "number": 1312,
        "allocated": round(26.0 * GIB),
        "reserved": round(27.4 * GIB),
        "usable": round(22.1 * GIB),
        "measured": True,
        "longest_that_fits": 2048,
    }
    return Forecast(**(given | changes))  # type: ignore[arg-type]


def test_the_sentence() -> None:
    assert forecast_sentence(made(), "RTX4090") == (
        "batch 1,312 has 3,871 tokens: about 27.4 GiB of 22.1 usable on RTX4090, which will not fit; "
        "set max_length to 2,048"
    )


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"number": None}, "the longest sample has 3,871 tokens and is still to come: about 27.4 GiB"),
        ({"measured": False}, "about, by the plan alone, 27.4 GiB"),
        ({"allocated": 20 * GIB}, "which fits only if the allocator can give back its cache; set max_length"),
        ({"shape": Shape(4, 100)}, "(4 sequences of as many)"),
        ({"shape": Shape(4, 100)}, "set max_length to 2,048 or per_device_train_batch_size lower"),
        ({"shape": Shape(4, 100), "longest_that_fits": None}, "; set per_device_train_batch_size lower"),
        ({"longest_that_fits": None}, "or a larger card (`lora-plan recommend` names some)"),
    ],
)
def test_the_sentence_says_what_is_known(changes: dict[str, object], part: str) -> None:
    assert part in forecast_sentence(made(**changes), "RTX4090")

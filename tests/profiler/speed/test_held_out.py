"""Runs predicted without their source, and the widths that follow."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest

from planner.time.spread import OTHER, SEVERAL
from profiler.speed.held_out import (
    ENOUGH,
    HELD_OUT,
    WIDER,
    HeldOut,
    Prediction,
    held_out,
    predictions,
    read_held_out,
    widths,
    write_held_out,
)
from profiler.speed.runs import predictable, published
from tests.profiler.speed.test_fit import run_of


def errors(source: str, offs: list[float], gpu: str = "a100-80", **fields: Any) -> list[HeldOut]:
    """Runs of a source, each predicted to take exp(off) times what it took."""
    run = run_of(gpu, **fields)
    record = replace(run.record, source=source)
    return [
        HeldOut(replace(run, record=replace(record, id=f"{source}:{gpu}:{place}"), step_s=2.0), off)
        for place, off in enumerate(offs)
    ]


SPREAD = [step / 100 for step in range(-10, 11)]
"""21 errors from -10 % to 10 %, in logs: nine in ten lie within 9."""


def test_a_width_holds_nine_runs_of_ten_and_reaches_as_far_as_measured_times_do() -> None:
    found = widths(errors("one", [off + 0.05 for off in SPREAD]))
    # predicted 5 % too slow: measured times lie lower
    assert found["Ampere"].low == pytest.approx(exp(-0.14))
    assert found["Ampere"].high == pytest.approx(exp(0.04))
    assert found["Ampere"].basis == "21 runs, each predicted without its source: one"
    # and what has no records reaches half as far again
    assert log(found[OTHER].low) == pytest.approx(WIDER * -0.14)


def test_a_width_never_leaves_the_prediction_out() -> None:
    assert widths(errors("one", [0.2] * ENOUGH))["Ampere"].high == 1


def test_a_class_with_few_runs_has_no_width_of_its_own() -> None:
    found = widths([*errors("one", SPREAD), *errors("two", SPREAD[: ENOUGH - 1], gpu="l40s")])
    assert set(found) == {"Ampere", OTHER}


def test_several_cards_are_a_class() -> None:
    found = widths([*errors("one", SPREAD, n_gpus=2, strategy="fsdp_full_shard"), *errors("two", SPREAD)])
    assert set(found) == {SEVERAL, "Ampere", OTHER}


def test_a_source_does_not_widen_its_own_interval() -> None:
    """The second source is 50 % off; its runs are given the first one's narrow interval all the same."""
    found = predictions([*errors("near", SPREAD), *errors("far", [log(1.5)] * 21)])
    far = found["far:a100-80:0"]
    assert far.step_s == pytest.approx(3.0)
    assert (far.low_s, far.high_s) == (pytest.approx(3 * exp(-0.09)), pytest.approx(3 * exp(0.09)))
    near = found["near:a100-80:10"]
    assert near.low_s == pytest.approx(2 / 1.5)


def test_predictions_are_kept_and_read(tmp_path: Path) -> None:
    file = tmp_path / "held_out.csv"
    write_held_out({"a": Prediction(1.23456, 1, 2), "b": Prediction(100, 90, 120)}, file)
    assert read_held_out(file) == {"a": Prediction(1.2346, 1, 2), "b": Prediction(100, 90, 120)}


def test_every_run_that_can_be_timed_is_kept_and_no_other() -> None:
    runs = predictable(published())
    assert set(read_held_out()) == {run.record.id for run in runs}, f"{HELD_OUT.name} is of other runs"
    for item in read_held_out().values():
        assert 0 < item.low_s <= item.step_s <= item.high_s


@pytest.mark.slow
@pytest.mark.parametrize("source", ["l40s-profile", "llm-foundry"])
def test_what_is_kept_is_what_the_other_sources_say_now(source: str) -> None:
    """After a change of the model or of the corpus: `python -m profiler.speed.calibrate --write`."""
    kept = read_held_out()
    found = held_out(predictable(published()), source)
    assert found
    for item in found:
        assert item.run.step_s * exp(item.off) == pytest.approx(kept[item.run.record.id].step_s, rel=1e-4)

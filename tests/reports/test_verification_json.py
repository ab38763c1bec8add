"""A verification as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from profiler.verification import verified
from reports.verification_json import verification_json
from tests.reports.verifications import VERIFICATIONS, out_of_memory, outside, slices, within


def read(document: dict[str, object]) -> dict[str, Any]:
    """As whoever parses the output has it; nan is no JSON."""
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_every_verification_is_json_with_the_same_names(name: str) -> None:
    assert read(verification_json(VERIFICATIONS[name]())).keys() == verification_json(within()).keys()


def test_the_figures_are_in_bytes_and_signed_as_in_the_table() -> None:
    said = within()
    assert said.measurement.memory
    document = read(verification_json(said, record="17"))
    assert (document["verdict"], document["tolerance"], document["record"]) == ("within", 0.05, "17")
    assert document["memory"]["peak_bytes"]["reserved"] == said.measurement.memory.peak_bytes.reserved
    instant = document["memory"]["instants"][0]
    assert instant["allocated_bytes"] == sum(instant["components"].values())
    assert document["reconciliation"]["columns"] == ["formula", "simulation", "measurement"]
    reserved = document["reconciliation"]["levels"][1]
    estimate, simulation, measurement = reserved["bytes"]
    assert reserved["differences_bytes"] == [estimate - measurement, simulation - measurement]
    (cause,) = document["causes"]
    assert cause["line"] == "logits_and_loss"
    assert cause["bytes"] < 0
    assert document["levels"][0].keys() == {
        "name", "allocated_bytes", "reserved_bytes", "process_bytes", "device_bytes", "host_bytes"
    }  # fmt: skip


def test_time_has_its_interval_its_phases_and_the_estimate() -> None:
    time = read(verification_json(within()))["time"]
    assert time["tokens_per_s"] == pytest.approx(time["tokens"] / time["step_s"])
    assert time["tokens_per_s_interval"]["low"] < time["tokens_per_s"] < time["tokens_per_s_interval"]["high"]
    assert time["within_interval"] is True
    assert time["estimate"]["step_s"] == 5.6
    assert [phase["name"] for phase in time["phases"]] == [
        "forward", "backward", "forward and backward", "optimizer", "rest of the step", "whole step"
    ]  # fmt: skip
    assert len(time["samples"]) == 4


def test_a_loss_that_is_not_finite_is_said_so() -> None:
    assert read(verification_json(outside()))["loss"] is None
    assert read(verification_json(outside()))["loss_is_finite"] is False
    assert read(verification_json(within()))["loss"] == 2.3125
    assert read(verification_json(out_of_memory()))["loss_is_finite"] is None


def test_out_of_memory_has_the_allocation_and_no_ledgers() -> None:
    document = read(verification_json(out_of_memory()))
    assert document["outcome"] == "out_of_memory"
    assert document["out_of_memory"]["instant"] == "optimizer_step"
    assert document["memory"] is None
    assert document["reconciliation"] is None
    assert document["time"] is None
    assert document["not_simulated_because"] == "the training stack is not installed"


def test_slices_say_what_they_stand_for() -> None:
    document = read(verification_json(slices()))
    assert document["slices"]["depths"] == [2, 3]
    assert document["another_card"] == "A100-80GB-SXM"
    assert document["without_runtime"] is True
    assert document["time"]["estimate"] is None
    assert document["time"]["not_estimated_because"].startswith("the plan is for A100-80GB-SXM")


def test_an_interval_that_reaches_down_to_nothing_has_no_fast_end() -> None:
    said = within()
    assert said.measurement.time
    wide = replace(said.measurement, time=replace(said.measurement.time, low_s=-1.0))
    time = read(verification_json(verified(wide, said.plan, None, None, None)))["time"]
    assert time["tokens_per_s_interval"]["high"] is None

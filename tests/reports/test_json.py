"""The JSON of a plan has the names of the design, and survives json.dumps."""

from __future__ import annotations

import json

from reports.json import error_json, to_json
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card, qlora_that_fits


def test_the_names_of_the_design() -> None:
    data = to_json(qlora_that_fits(), ())
    assert {
        "run",
        "gpu",
        "verdict",
        "memory",
        "parameters",
        "footprint",
        "limits",
        "suggestions",
        "notes",
    } <= set(data)
    memory = data["memory"]
    assert isinstance(memory, dict)
    assert set(memory) == {"peak_bytes", "interval_bytes", "instant", "basis", "instants"}
    assert set(memory["peak_bytes"]) == {"allocated", "reserved", "process"}
    assert set(memory["interval_bytes"]) == {"level", "low", "high", "coverage"}
    gpu = data["gpu"]
    assert isinstance(gpu, dict)
    assert {"name", "count", "memory_bytes", "usable_bytes"} <= set(gpu)
    footprint = data["footprint"]
    assert isinstance(footprint, dict)
    assert {"adapter_file_bytes", "checkpoint_bytes", "host_ram_bytes", "disk_bytes"} <= set(footprint)


def test_components_add_up_and_the_peak_is_among_the_instants() -> None:
    data = json.loads(json.dumps(to_json(qlora_that_fits(), ())))
    instants = {instant["name"]: instant for instant in data["memory"]["instants"]}
    for instant in instants.values():
        assert instant["allocated_bytes"] == sum(instant["components"].values())
    assert instants[data["memory"]["instant"]]["allocated_bytes"] == data["memory"]["peak_bytes"]["allocated"]


def test_the_run_can_be_made_again_from_it() -> None:
    from planner.run import TrainingRun

    plan = qlora_that_fits()
    assert TrainingRun(**json.loads(json.dumps(to_json(plan, ())))["run"]) == plan.run


def test_without_a_card() -> None:
    data = to_json(lora_without_a_card(), ())
    assert data["gpu"] is None
    assert data["verdict"] is None
    assert data["limits"] is None


def test_suggestions_and_errors() -> None:
    plan, suggestions = full_that_does_not_fit()
    first = json.loads(json.dumps(to_json(plan, suggestions)))["suggestions"][0]
    assert set(first) == {"text", "change", "frees_bytes", "reserved_bytes", "fits"}
    assert error_json("no", "rank", "input") == {"error": {"message": "no", "field": "rank", "kind": "input"}}

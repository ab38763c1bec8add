"""The JSON of a plan has the names of the design, and survives json.dumps."""

from __future__ import annotations

import json

from profiler.reconcile import reconcile
from reports.json import error_json, simulation_json, to_json
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card, qlora_that_fits
from tests.reports.simulations import that_does_not_fit, without_a_card


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
    assert set(memory) == {
        "peak_bytes",
        "interval_bytes",
        "allocated_interval_bytes",
        "instant",
        "basis",
        "instants",
    }
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


def test_a_simulation_under_the_names_of_a_plan() -> None:
    simulation, estimate = that_does_not_fit()
    both = reconcile([estimate.memory, simulation.memory])
    data = json.loads(json.dumps(simulation_json(simulation, both)))
    plan = json.loads(json.dumps(to_json(estimate, ())))
    assert set(plan) - set(data) == {
        *("footprint", "limits", "suggestions"),
        *("time", "dataset", "offers", "cheaper"),
    }
    assert set(data["memory"]) == set(plan["memory"])
    assert data["memory"]["interval_bytes"] is None
    assert data["memory"]["basis"] == "simulation"
    assert data["out_of_memory"]["module"] == "model.layers.31"
    assert len(data["timeline"]["allocated_bytes"]) == len(data["timeline"]["reserved_bytes"])
    assert data["timeline"]["instants"][0] == {"at": 0, "name": "end_of_forward"}
    assert data["versions"]["peft"] == "0.21.2"


def test_a_reconciliation_has_an_entry_a_column_and_one_difference_fewer() -> None:
    simulation, estimate = that_does_not_fit()
    data = simulation_json(simulation, reconcile([estimate.memory, simulation.memory]))
    both = json.loads(json.dumps(data["reconciliation"]))
    assert both["columns"] == ["formula", "simulation"]
    assert [level["name"] for level in both["levels"]] == ["allocated", "reserved", "process"]
    for instant in both["instants"]:
        estimated, simulated = instant["bytes"]
        assert instant["differences_bytes"] == [estimated - simulated]
        assert sum(line["bytes"][1] for line in instant["components"]) == simulated


def test_a_simulation_alone() -> None:
    simulation, _ = without_a_card()
    data = simulation_json(simulation, None)
    assert data["reconciliation"] is None
    assert data["gpu"] is None
    assert data["out_of_memory"] is None

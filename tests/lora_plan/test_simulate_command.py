"""`lora-plan simulate`: what it prints, writes and refuses, with a simulation made by hand in place of the real one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_plan.commands.simulate import OPTIONS
from planner.errors import Abstention
from planner.run import TrainingRun
from profiler.simulate.allocator import AllocatorSettings
from profiler.simulate.types import Simulation
from tests.lora_plan.cli import PLAN, call
from tests.lora_plan.test_bad_input import ARGUMENTS, VALUES, refused, refused_in_json
from tests.reports.simulations import SIMULATIONS

SIMULATE = ("simulate", *PLAN)


class Simulator:
    """Stands for `profiler.simulate.simulate.simulate`: one of the samples, as the simulation of any run."""

    def __init__(self) -> None:
        self.sample = "fits"
        self.calls: list[dict[str, Any]] = []

    def __call__(self, run: TrainingRun, gpu: object, **asked: Any) -> Simulation:
        self.calls.append({"run": run, "gpu": gpu, **asked})
        asked["progress"]("tracing a step", 0.5)
        simulation, _ = SIMULATIONS[self.sample]()
        return replace(simulation, run=run)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Simulator:
    simulator = Simulator()
    monkeypatch.setattr("profiler.simulate.simulate.simulate", simulator)
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "cache"))
    return simulator


@pytest.mark.usefixtures("simulator")
def test_the_estimate_stands_beside_the_simulation() -> None:
    outcome = call(*SIMULATE)
    assert outcome.status == 0
    # stderr is no terminal: no bar
    assert outcome.err == ""
    assert outcome.out.startswith("FITS   Llama-3.1-70B QLoRA on A100-80GB-SXM, simulated\n")
    assert "Estimate beside simulation" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


@pytest.mark.usefixtures("simulator")
def test_json() -> None:
    plan = json.loads(call(*PLAN, "--json").out)
    data = json.loads(call(*SIMULATE, "--json").out)
    assert data["run"] == plan["run"]
    assert data["memory"]["basis"] == "simulation"
    assert data["reconciliation"]["columns"] == ["formula", "simulation"]
    assert data["reconciliation"]["levels"][0]["bytes"][0] == plan["memory"]["peak_bytes"]["allocated"]
    assert data["not_estimated_because"] is None


@pytest.mark.usefixtures("simulator")
def test_without_the_estimate() -> None:
    out = call(*SIMULATE, "--no-reconcile").out
    assert "Allocated at each instant" in out
    assert "stimate" not in out
    data = json.loads(call(*SIMULATE, "--no-reconcile", "--json").out)
    assert (data["reconciliation"], data["not_estimated_because"]) == (None, None)


@pytest.mark.usefixtures("simulator")
def test_what_the_planner_abstains_from_is_simulated_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def abstains(*_: object) -> None:
        raise Abstention("there are no formulas for it", way_out="choose another")

    monkeypatch.setattr("planner.plan.plan", abstains)
    outcome = call(*SIMULATE)
    assert outcome.status == 0
    assert "No estimate to hold it to: there are no formulas for it\n" in outcome.out
    data = json.loads(call(*SIMULATE, "--json").out)
    assert data["not_estimated_because"] == "there are no formulas for it"
    assert data["reconciliation"] is None


def test_what_is_not_simulated_is_an_abstention(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path))
    error = refused_in_json(call(*SIMULATE, "--gpus", "2", "--json"))
    assert error["kind"] == "abstained"
    assert "simulate" in str(error["message"])
    assert list(tmp_path.iterdir()) == []


def test_check_passes_only_what_fits(simulator: Simulator) -> None:
    assert call(*SIMULATE, "--check", "--no-cache").status == 0
    for simulator.sample in ("tight", "does_not_fit"):
        assert call(*SIMULATE, "--check", "--no-cache").status == 1
        assert call(*SIMULATE, "--check", "--no-cache", "--json").status == 1
        assert call(*SIMULATE, "--no-cache").status == 0


def test_the_options_reach_the_simulation(simulator: Simulator, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter_config.json"
    adapter.write_text('{"peft_type": "BONE"}')
    outcome = call(
        *("simulate", "--model", "mistral-7b", "--quantization", "nf4", "--gpu-memory", "24"),
        *("--peft-config", str(tmp_path), "--full-depth", "--alloc-conf", "expandable_segments:True"),
    )
    assert outcome.status == 0, outcome
    [asked] = simulator.calls
    assert asked["run"].quantization == "nf4"
    assert asked["gpu"].memory_bytes == 24 * 2**30
    assert asked["peft_config"] == str(tmp_path)
    assert asked["full_depth"] is True
    assert asked["settings"] == AllocatorSettings(expandable_segments=True)
    assert "No estimate to hold it to: the formulas" in outcome.out


def test_the_allocators_variable_is_not_read(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "nonsense")
    assert call(*SIMULATE).status == 0
    assert simulator.calls[0]["settings"] == AllocatorSettings()


def test_the_same_run_again_comes_from_the_cache(simulator: Simulator) -> None:
    first = call(*SIMULATE)
    assert call(*SIMULATE) == first
    assert len(simulator.calls) == 1
    assert call(*SIMULATE, "--rank", "8").status == 0
    assert len(simulator.calls) == 2


def test_without_the_cache_nothing_is_kept(simulator: Simulator, tmp_path: Path) -> None:
    assert call(*SIMULATE, "--no-cache") == call(*SIMULATE, "--no-cache")
    assert len(simulator.calls) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("simulator")
def test_a_cache_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("LORA_PLAN_CACHE", str(file))
    outcome = call(*SIMULATE)
    assert outcome.status == 0
    assert outcome.out.startswith("FITS")
    assert outcome.err.startswith("lora-plan: the simulation is not kept")
    assert outcome.err.count("\n") == 1


@pytest.mark.usefixtures("simulator")
def test_a_damaged_entry_is_made_again_and_said_once(tmp_path: Path) -> None:
    whole = call(*SIMULATE)
    for entry in (tmp_path / "cache" / "simulations").iterdir():
        entry.write_bytes(entry.read_bytes()[:-9])
    again = call(*SIMULATE)
    assert again.out == whole.out
    assert again.err == "lora-plan: a cached simulation was damaged and is made again\n"
    assert call(*SIMULATE) == whole


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(("name", "begins"), [("step.png", b"\x89PNG"), ("step.SVG", b"<?xml")])
def test_the_timeline(name: str, begins: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    outcome = call(*SIMULATE, "--timeline", str(file))
    assert (outcome.status, outcome.err) == (0, "")
    assert file.read_bytes().startswith(begins)


@pytest.mark.usefixtures("simulator")
def test_save_run_writes_the_run_that_was_simulated(tmp_path: Path) -> None:
    file = str(tmp_path / "run.toml")
    saved = json.loads(call(*SIMULATE, "--rank", "8", "--save-run", file, "--json").out)
    again = json.loads(call("simulate", "--run", file, "--gpu", "a100-80", "--json").out)
    assert again["run"] == saved["run"]


BAD = {
    "unknown setting of the allocator": (("--alloc-conf", "expandable:True"), "alloc_conf", "expandable_segments"),
    "a value that PyTorch refuses": (("--alloc-conf", "max_split_size_mb:1"), "alloc_conf", "--alloc-conf: max_split"),
    "a method beside its file": (("--peft-config", "x.json", "--rank", "8"), "rank", "leave out --rank"),
    "a switch beside the file": (("--peft-config", "x", "--no-use-dora"), "use_dora", "leave out --use-dora"),
    "no PEFT config there": (("--peft-config", "nowhere.json"), "peft_config", "nowhere.json"),
    "another kind of picture": (("--timeline", "step.jpg"), "timeline", "not 'step.jpg'"),
    "a picture of no kind": (("--timeline", "png"), "timeline", "not 'png'"),
    "a check of nothing": (("--check",), "gpu", "--check needs a card"),
    "two cards": (("--gpu", "t4", "--gpu-memory", "24"), "gpu", "two cards"),
    "unknown GPU": (("--gpu", "a100-800"), "gpu", "did you mean"),
    "rank 0": (("--rank", "0"), "rank", "--rank must be a whole number from 1"),
    "unknown option": (("--timelin", "x.png"), None, "did you mean '--timeline'"),
    "option of nothing like it": (("--zzzzzz",), None, "`lora-plan simulate --help` lists them"),
    "an option of the plan alone": (("--explain", "adapters"), None, "option '--explain' is not known"),
    "a switch with a value": (("--full-depth=yes",), None, "'--full-depth' is a switch"),
    "an option without its value": (("--timeline", "--json"), None, "'--timeline' needs a value"),
    "an option at the end": (("--alloc-conf",), None, "'--alloc-conf' needs a value"),
    "a word": (("llama-70b",), None, "llama-70b"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name: str, simulator: Simulator) -> None:
    argv, field, words = BAD[name]
    outcome = call("simulate", "--model", "llama-3.1-8b", *argv)
    assert words in refused(outcome)
    assert outcome.out == "" or "--json" in argv
    error = refused_in_json(call("simulate", "--json", "--model", "llama-3.1-8b", *argv))
    assert error["field"] == field
    assert error["kind"] in ("input", "usage")
    assert simulator.calls == []


@given(
    ARGUMENTS,
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["--alloc-conf", "--peft-config", "--timeline"]), VALUES),
            st.tuples(st.sampled_from(["--full-depth", "--reconcile", "--no-reconcile", "--no-cache"])),
        ),
        max_size=3,
    ),
)
@settings(max_examples=100)
def test_no_arguments_end_in_a_traceback(run: list[tuple[str, ...]], own: list[tuple[str, ...]]) -> None:
    argv = ["simulate", "--model", "llama-3.1-8b", "--no-cache", *(word for part in [*own, *run] for word in part)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("profiler.simulate.simulate.simulate", Simulator())
        outcome = call(*argv)
    assert outcome.status in (0, 1, 2), outcome
    if outcome.status == 2:
        refused(outcome)
    else:
        assert outcome.err == ""


def test_the_command_goes_first() -> None:
    assert "write `lora-plan simulate`, and its own options after it" in refused(call(*PLAN, "simulate"))
    assert "did you mean 'simulate'" in refused(call("simulat"))


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(("option", "name"), [("--timeline", "step.png"), ("--save-run", "run.yaml")])
def test_a_disk_that_is_full(option: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.symlink_to("/dev/full")
    message = refused(call(*SIMULATE, option, str(file)))
    assert name in message
    assert "no space left on device" in message.lower()
    assert refused_in_json(call(*SIMULATE, option, str(file), "--json"))["kind"] == "input"


def test_the_help_holds_every_option_whole() -> None:
    outcome = call("simulate", "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("  lora-plan simulate [OPTIONS]\n")
    assert max(map(len, outcome.out.splitlines())) <= 80
    for option in OPTIONS:
        flag = option.flag.replace("--", "--[no-]", 1) if option.negated else option.flag
        assert f"│ {flag} {option.metavar}".rstrip() in outcome.out
    assert "lora-plan simulate [OPTIONS]" in call("--help").out
    assert call("simulate", "-h").out == outcome.out

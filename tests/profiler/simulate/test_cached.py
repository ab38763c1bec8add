"""A run is simulated once; anything that could move the result has it simulated again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue import own_gpu
from planner.errors import Abstention
from planner.run import TrainingRun
from profiler.simulate import cached as module
from profiler.simulate import stack
from profiler.simulate.allocator import AllocatorSettings
from profiler.simulate.cache import SimulationCache
from profiler.simulate.cached import simulate_cached
from profiler.simulate.types import Simulation
from tests.reports.simulations import that_fits

TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 128,
}


class Simulator:
    """Stands for `simulate`, and counts."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def __call__(self, run: TrainingRun, gpu: object, **asked: Any) -> Simulation:
        self.calls.append({"gpu": gpu, **asked})
        simulation, _ = that_fits()
        return replace(simulation, run=run, retries=len(self.calls))


class Asked:
    """One question to the cache, and what it is answered."""

    def __init__(self, folder: Path) -> None:
        self.simulator = Simulator()
        self.cache = SimulationCache(folder / "cache")
        self.config = folder / "config.json"
        self.config.write_text(json.dumps(TINY))
        self.adapter = folder / "adapter_config.json"
        self.adapter.write_text('{"peft_type": "LORA"}')
        self.what: dict[str, Any] = {"run": TrainingRun(model=str(self.config)), "peft_config": str(self.adapter)}

    def __call__(self) -> Simulation:
        return simulate_cached(**self.what, cache=self.cache, simulator=self.simulator)


@pytest.fixture
def ask(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_the_second_time_nothing_is_simulated(ask: Asked) -> None:
    first, second = ask(), ask()
    assert len(ask.simulator.calls) == 1
    assert second == first
    assert ask.cache.warnings == []


def change_config(ask: Asked, _: pytest.MonkeyPatch) -> None:
    ask.config.write_text(json.dumps(TINY | {"vocab_size": 256}))


def change_adapter(ask: Asked, _: pytest.MonkeyPatch) -> None:
    ask.adapter.write_text('{"peft_type": "LORA", "r": 4}')


def change_versions(_: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "versions", lambda kernels="hf": (("torch", "3.0"),))


def change_sources(_: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_sources", lambda: [b"another simulator"])


def change(name: str, value: object) -> Callable[[Asked, pytest.MonkeyPatch], None]:
    return lambda ask, _: ask.what.update({name: value})


CHANGES = {
    "the config": change_config,
    "the PEFT config": change_adapter,
    "the PEFT config's method": change("peft_config", None),
    "the run": lambda ask, _: ask.what.update(run=ask.what["run"].replace(rank=8)),
    "what was given of the run": lambda ask, _: ask.what.update(run=ask.what["run"].replace(rank=16)),
    "a card": change("gpu", "t4"),
    "a card of one's own": change("gpu", own_gpu(24)),
    "the depth": change("full_depth", True),
    "what bytes are counted": change("live", True),
    "the allocator": change("settings", AllocatorSettings(expandable_segments=True)),
    "the libraries": change_versions,
    "the simulator": change_sources,
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_has_it_simulated_again(name: str, ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    ask()
    CHANGES[name](ask, monkeypatch)
    ask()
    assert len(ask.simulator.calls) == 2
    ask()
    assert len(ask.simulator.calls) == 2


def test_the_defaults_of_the_allocator_are_one_key(ask: Asked) -> None:
    ask()
    ask.what["settings"] = AllocatorSettings()
    ask()
    assert len(ask.simulator.calls) == 1


def test_the_simulator_is_asked_what_was_asked(ask: Asked) -> None:
    ask.what |= {"full_depth": True, "gpu": "t4", "progress": print, "live": True}
    ask()
    [call] = ask.simulator.calls
    assert call["gpu"].name == "T4"
    assert call["full_depth"] is True
    assert call["live"] is True
    assert call["settings"] == AllocatorSettings()
    assert call["peft_config"] == str(ask.adapter)
    assert call["progress"] is print


def test_how_a_card_was_spelt_is_noted_and_not_kept(ask: Asked) -> None:
    ask.what["gpu"] = "a100"
    simulated, kept = ask(), ask()
    assert "'a100' is ambiguous" in kept.notes[0]
    assert kept == simulated
    ask.what["gpu"] = kept.notes[0].rpartition(": ")[2].removesuffix(" is taken")
    assert "'a100'" not in "".join(ask().notes)
    assert len(ask.simulator.calls) == 1


def test_an_entry_that_is_no_simulation_is_made_again(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask()
    monkeypatch.setattr(ask.cache, "get", lambda key: {"run": {"model": "gpt2"}, "verdict": 7})
    again = ask()
    assert replace(again, retries=1) == first
    assert len(ask.simulator.calls) == 2
    monkeypatch.undo()
    assert ask() == again
    [said] = ask.cache.warnings

    # the sentence is the one of an entry that is not even whole
    assert ask.cache.folder is not None
    for entry in ask.cache.folder.iterdir():
        entry.write_bytes(b"\x00")
    ask()
    assert ask.cache.warnings == [said]
    assert len(ask.simulator.calls) == 3


@pytest.mark.parametrize("error", [Abstention("not simulated"), KeyboardInterrupt()])
def test_a_simulation_that_ends_early_leaves_nothing(error: BaseException, ask: Asked) -> None:
    def fails(*_: object, **__: object) -> Simulation:
        raise error

    with pytest.raises(type(error)):
        simulate_cached(**ask.what, cache=ask.cache, simulator=fails)
    assert ask.cache.folder is not None
    assert not ask.cache.folder.exists()


def test_the_sources_are_those_of_the_simulator() -> None:
    names = {name.decode() for name in module._sources()[::2]}
    assert {"profiler/simulate/simulate.py", "profiler/simulate/trace/tracker.py", "planner/plan.py"} <= names

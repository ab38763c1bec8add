"""A simulation written as JSON is the same simulation when it is read; anything else is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.memory.ledger import Ledgers
from planner.run import TrainingRun
from profiler.documents import NotADocument, from_document, to_document
from profiler.simulate.types import OutOfMemory, Simulation, Timeline
from tests.reports.simulations import SIMULATIONS, that_does_not_fit

RUNS = (
    TrainingRun(model="llama-70b", method="qlora", rank=8),
    TrainingRun(model="gpt2", method="full", optimizer="adafactor", gradient_checkpointing=False),
    TrainingRun(model="mistral-7b", method="dora", alpha=0.1, dropout=0.05, target_modules=("q_proj", "v_proj")),
    TrainingRun(model="mistral-7b", method="ia3", eval_batch_size=4),
    TrainingRun(model="gemma-2-9b", method="p_tuning", encoder_hidden_size=64),
    TrainingRun(model="mistral-7b", quantization="gptq", group_size=-1, target_modules=r".*\.q_proj"),
)


def stored_and_read(simulation: Simulation) -> Simulation:
    return from_document(Simulation, json.loads(json.dumps(to_document(simulation))))


@pytest.mark.parametrize("name", SIMULATIONS)
def test_what_is_read_is_what_was_stored(name: str) -> None:
    simulation, _ = SIMULATIONS[name]()
    read = stored_and_read(simulation)
    assert read == simulation
    assert list(read.memory.instants[0].components) == list(simulation.memory.instants[0].components)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.method)
def test_a_run_still_knows_what_was_given(run: TrainingRun) -> None:
    simulation, _ = that_does_not_fit()
    read = stored_and_read(replace(simulation, run=run)).run
    assert read == run
    # `defaulted` is no part of the comparison above
    assert read.defaulted == run.defaulted


@given(st.from_type(Timeline), st.from_type(Ledgers), st.none() | st.from_type(OutOfMemory), st.integers(), st.text())
def test_any_simulation(
    timeline: Timeline, memory: Ledgers, failed: OutOfMemory | None, retries: int, note: str
) -> None:
    simulation, _ = that_does_not_fit()
    simulation = replace(
        simulation, timeline=timeline, memory=memory, out_of_memory=failed, retries=retries, notes=(note,), gpu=None
    )
    assert stored_and_read(simulation) == simulation


def places(document: object) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what it is in, and its name or index there."""
    if isinstance(document, dict | list):
        for name, item in list(document.items() if isinstance(document, dict) else enumerate(document)):
            yield document, name
            yield from places(item)


@given(st.data())
def test_a_document_with_anything_else_in_one_place_is_none(data: st.DataObject) -> None:
    simulation, _ = that_does_not_fit()
    short = Timeline((3, 4), (5, 6), ((0, "loss"),))
    document: dict[str, Any] = to_document(replace(simulation, timeline=short))
    del document["run"]
    inside, name = data.draw(st.sampled_from(list(places(document))))
    # nothing in a simulation is one of these
    inside[name] = data.draw(st.sampled_from([True, 1.5, {"a": "b"}, ["a", 1.5]]))
    with pytest.raises(NotADocument):
        from_document(Simulation, document | {"run": {"model": "gpt2"}})


@given(st.data())
def test_a_document_that_lacks_a_field_is_none(data: st.DataObject) -> None:
    simulation, _ = that_does_not_fit()
    document: dict[str, Any] = to_document(simulation)
    inside = data.draw(st.sampled_from([document, *(document[name] for name in ("gpu", "memory", "timeline"))]))
    del inside[data.draw(st.sampled_from(sorted(inside)))]
    with pytest.raises(NotADocument):
        from_document(Simulation, document)


@pytest.mark.parametrize("run", [None, {}, {"model": "gpt2", "rank": 0}, {"model": "gpt2", "ranc": 8}])
def test_a_document_of_no_run_is_none(run: object) -> None:
    simulation, _ = that_does_not_fit()
    with pytest.raises(NotADocument):
        from_document(Simulation, to_document(simulation) | {"run": run})

"""Explanations add up to the component they explain."""

from __future__ import annotations

import pytest

from planner.errors import InputError
from planner.explain import explain
from planner.memory.ledger import COMPONENTS
from planner.plan import plan
from planner.run import TrainingRun

RUNS = [
    TrainingRun(model="llama-3.1-8b", method="qlora"),
    TrainingRun(model="llama-3.1-8b", method="lora", gradient_checkpointing=False, micro_batch_size=2),
    TrainingRun(model="mistral-7b", method="full", optimizer="adamw_torch"),
    TrainingRun(model="Qwen/Qwen3-30B-A3B", method="qlora"),
    TrainingRun(model="gemma-2-2b", method="lora", sequence_length=8192),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.model} {run.method}")
@pytest.mark.parametrize("component", ["base_weights", "adapters", "optimizer_states", "runtime"])
def test_what_is_alive_all_along_adds_up(run: TrainingRun, component: str) -> None:
    explanation = explain(run, component)
    assert sum(line.bytes or 0 for line in explanation.lines) == explanation.total_bytes
    assert explanation.total_bytes == plan(run).memory.peak.components[component]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.model} {run.method}")
def test_saved_activations_add_up(run: TrainingRun) -> None:
    explanation = explain(run, "saved_activations")
    assert sum(line.bytes or 0 for line in explanation.lines) == explanation.total_bytes


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run.model} {run.method}")
@pytest.mark.parametrize("component", COMPONENTS)
def test_every_component_says_where_it_is_from(run: TrainingRun, component: str) -> None:
    explanation = explain(run, component)
    assert explanation.source
    assert explanation.title


def test_the_base_of_a_qlora_run_by_hand() -> None:
    """Llama-3.1-8B: 6,979,321,856 weights in linear layers; the embeddings, the head and the norms in float32."""
    lines = {line.label: line.bytes for line in explain(RUNS[0], "base_weights").lines}
    assert lines["embeddings, head and norms in float32"] == (2 * 128256 * 4096 + 65 * 4096) * 4
    linear = lines["linear layers in NF4 with double quantization"]
    assert linear == pytest.approx(6_979_321_856 * (0.5 + 1 / 64 + 4 / (64 * 256)), rel=1e-4)


def test_an_unknown_component_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'gradients'"):
        explain(RUNS[0], "gradient")

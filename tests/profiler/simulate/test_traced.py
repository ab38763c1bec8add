"""A run's stream, from a small Llama."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue import find_gpu
from planner.errors import Abstention
from planner.memory.levels import cublas_workspaces
from planner.run import TrainingRun
from profiler.simulate import stack, traced
from profiler.simulate.depth.assemble import DoesNotFold
from profiler.simulate.ledger import LayerRange
from profiler.simulate.stream import Stream
from profiler.simulate.trace.trace import (
    ADAPTERS,
    BACKWARD,
    BASE_WEIGHTS,
    GRADIENTS,
    OPTIMIZER_STATES,
    RUNTIME,
    SAVED,
)
from profiler.simulate.traced import TracedRun, trace_run
from tests.support.real_steps import written
from tests.support.steps import DECODER

LLAMA: dict[str, Any] = DECODER | {"model_type": "llama", "num_hidden_layers": 8}
LAYER = 64 * (64 + 32 + 32 + 64) + 3 * 64 * 176 + 2 * 64
LORA = 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 176))
BASE = 8 * LAYER + 2 * 512 * 64 + 64
"""Parameters by hand: of a layer, of its adapters of rank 4, of the model."""


def trace(folder: Path, config: dict[str, Any] | None = None, **fields: Any) -> TracedRun:
    run = TrainingRun(model=written(config or LLAMA, folder), rank=4, sequence_length=32, **fields)
    with stack.quiet():
        return trace_run(run)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> TracedRun:
    return trace(tmp_path_factory.mktemp("lora"))


def held(stream: Stream, component: str) -> int:
    """Bytes of a component at the end."""
    freed = {event.block for event in stream.events if not event.size}
    return sum(
        made.size for block, made in enumerate(stream.made) if made.component == component and block not in freed
    )


def test_what_it_was_made_of(lora: TracedRun) -> None:
    assert (lora.depth, lora.traced, lora.layer_names, lora.layers) == (8, 5, "model.layers", LayerRange(0, 7))
    assert (lora.total, lora.trainable) == (BASE + 8 * LORA, 8 * LORA)
    assert (lora.peft_type, lora.notes) == (None, ())


def test_weights_adapters_and_states_of_all_layers_stay(lora: TracedRun) -> None:
    """The base in bfloat16 and 8 rotary frequencies in float32; adapters in float32, two states for each, and a
    count of steps in float32 for each of the 2 x 7 x 8 tensors."""
    assert held(lora.stream, BASE_WEIGHTS) - 2 * BASE in (8 * 4, 2 * 8 * 4)
    assert held(lora.stream, ADAPTERS) == 4 * 8 * LORA
    assert held(lora.stream, OPTIMIZER_STATES) == 2 * 4 * 8 * LORA + 4 * 2 * 7 * 8


def test_nothing_else_stays_but_workspaces(lora: TracedRun) -> None:
    assert held(lora.stream, RUNTIME) == cublas_workspaces(None)
    assert held(lora.stream, GRADIENTS) == held(lora.stream, SAVED) == 0


def test_every_layer_has_its_gradients_in_its_backward_window(lora: TracedRun) -> None:
    stream = lora.stream
    ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
    found: Counter[int | None] = Counter()
    for stretch, end in zip(stream.stretches, ends, strict=True):
        for event in stream.events[stretch.begins : end]:
            if stretch.step == 2 and event.size and stream.made[event.block].component == GRADIENTS:
                assert stretch.window.phase == BACKWARD
                found[stretch.window.layer] += event.size
    assert found == dict.fromkeys(range(8), 4 * LORA)


def test_a_layer_that_gets_no_gradient_has_no_state(tmp_path: Path) -> None:
    """The last layer's `down_proj` alone is trained: rank 4 times 64 + 176, with two counts of steps."""
    found = trace(tmp_path, target_modules=r".*layers\.7\.mlp\.down_proj", gradient_checkpointing=False)
    assert found.trainable == 4 * (64 + 176)
    assert held(found.stream, OPTIMIZER_STATES) == 2 * 4 * 4 * (64 + 176) + 2 * 4


def test_tied_embeddings_are_loaded_and_trained_once(tmp_path: Path) -> None:
    run = TrainingRun(
        model=written(LLAMA | {"tie_word_embeddings": True}, tmp_path),
        method="full",
        base_dtype="float32",
        sequence_length=32,
    )
    with stack.quiet():
        found = trace_run(run)
    assert found.total == found.trainable == BASE - 512 * 64
    tensors = 8 * 9 + 2
    assert held(found.stream, OPTIMIZER_STATES) == 2 * 4 * found.total + 4 * tensors


def test_workspaces_are_the_cards(tmp_path: Path) -> None:
    gpu = find_gpu("H100 80GB").gpu
    run = TrainingRun(model=written(LLAMA, tmp_path), sequence_length=8)
    with stack.quiet():
        found = trace_run(run, gpu=gpu)
    assert held(found.stream, RUNTIME) == cublas_workspaces(gpu) != cublas_workspaces(None)


def test_an_idle_layer_is_no_end_of_the_backward_pass(tmp_path: Path) -> None:
    """Llama 3.2 Vision: text does not reach the layers that look at pictures, here the first and the last."""
    from tests.planner.architecture.families.test_mllama import config_of

    config = config_of({"num_hidden_layers": 6, "cross_attention_layers": [0, 5]})
    assert trace(tmp_path, config).layers == LayerRange(1, 4)


def test_what_does_not_fold_is_traced_whole(lora: TracedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed, calls = traced.compose, []

    def once(*args: Any, **kwargs: Any) -> Stream:
        calls.append(args)
        if len(calls) == 1:
            raise DoesNotFold("said by the test")
        return composed(*args, **kwargs)

    monkeypatch.setattr(traced, "compose", once)
    found = trace(tmp_path)
    assert (found.traced, len(calls)) == (8, 2)
    assert "all were traced" in found.notes[0]
    assert found.stream.events == lora.stream.events


def test_failures_name_the_module_without_pefts_wrapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama.LlamaRMSNorm, "forward", lambda self, x: x[x > 0])
    with pytest.raises(Abstention, match=r"the operator aten\.nonzero\.default in") as caught:
        trace(tmp_path)
    assert "model.layers.0.input_layernorm (forward)" in str(caught.value)
    assert "base_model" not in str(caught.value)

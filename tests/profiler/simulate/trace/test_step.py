"""The passes of a step of a small network on the simulated device."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from planner.run import TrainingRun
from profiler.simulate.device import kernels, on_sim
from profiler.simulate.device.backend import NAME, FakeMode
from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.step import trace_passes
from profiler.simulate.trace.trace import (
    AFTER,
    BACKWARD,
    EMBED,
    EVALUATION,
    FORWARD,
    HEAD,
    LOAD,
    LOSS,
    LOSS_BACKWARD,
    SAVED,
    TEMPORARY,
    ZERO_GRAD,
    Trace,
    Window,
)
from profiler.simulate.trace.tracker import Tracker

B, S, HIDDEN, VOCABULARY = 2, 16, 8, 32
BATCH = B * S * 8


class Net(nn.Module):
    """An embedding, one layer and a head, called as transformers' models are."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList([nn.Linear(HIDDEN, HIDDEN)])
        self.head = nn.Linear(HIDDEN, VOCABULARY)
        self.calls: list[dict[str, Any]] = []

    def forward(self, **batch: Any) -> Any:
        self.calls.append({name: getattr(value, "shape", value) for name, value in batch.items()})
        self.calls[-1] |= {"training": self.training, "autocast": torch.is_autocast_enabled(NAME)}
        x = self.embed(batch["input_ids"])
        for layer in self.layers:
            x = layer(x)
        logits = self.head(x)
        labels = batch["labels"].view(-1)
        loss = nn.functional.cross_entropy(logits.view(-1, VOCABULARY), labels)
        return SimpleNamespace(loss=loss)


def traced(**fields: Any) -> tuple[Trace, list[dict[str, Any]]]:
    given: dict[str, Any] = {"micro_batch_size": B, "sequence_length": S, "mixed_precision": "no"}
    run = TrainingRun(**({"model": "llama-3.1-8b"} | given | fields))
    with on_sim(padded=False), FakeMode(), (tracker := Tracker(kernels.answer)):
        tracker.enter(Window(LOAD))
        with torch.device(NAME):
            model = Net()
        marks = Marks(tracker, list(model.layers), {})
        with marks.on(model):
            trace_passes(model, run, marks, tracker)
        tracker.close()
    return tracker.trace, model.calls


def windows(trace: Trace) -> list[Window]:
    return [one.window for one in trace.windows[1:]]


def in_order(part: int) -> list[Window]:
    return [
        Window(EMBED, None, part),
        Window(FORWARD, 0, part),
        Window(HEAD, None, part),
        Window(LOSS_BACKWARD, None, part),
        Window(BACKWARD, 0, part),
        Window(AFTER, None, part),
    ]


def test_one_micro_batch() -> None:
    assert windows(traced()[0]) == in_order(0)


@pytest.mark.parametrize("steps", [2, 8])
def test_of_several_micro_batches_two_are_traced(steps: int) -> None:
    assert windows(traced(gradient_accumulation_steps=steps)[0]) == in_order(0) + in_order(1)


def test_evaluation_comes_after_the_gradients_are_gone() -> None:
    trace, calls = traced(eval_batch_size=3)
    end = [Window(EMBED, None, EVALUATION), Window(FORWARD, 0, EVALUATION), Window(HEAD, None, EVALUATION)]
    assert windows(trace) == [*in_order(0), Window(ZERO_GRAD), *end, Window(AFTER, None, EVALUATION)]
    assert [(call["training"], call["input_ids"]) for call in calls] == [(True, (B, S)), (False, (3, S))]


@pytest.mark.parametrize("packing", [True, False])
def test_a_batch_is_what_a_collator_makes(packing: bool) -> None:
    trace, (call,) = traced(packing=packing)
    given = ["input_ids", "labels"] + ([] if packing else ["attention_mask"])
    assert call == dict.fromkeys(given, (B, S)) | {"use_cache": False, "training": True, "autocast": False}
    assert [made.size for made in trace.windows[1].allocations[: len(given)]] == [BATCH] * len(given)


@pytest.mark.parametrize(("precision", "autocast"), [("no", False), ("bf16", True), ("fp16", True)])
def test_autocast_is_on_in_the_forward_pass(precision: str, autocast: bool) -> None:
    _, (call,) = traced(mixed_precision=precision)
    assert call["autocast"] is autocast
    assert not torch.is_autocast_enabled(NAME)


def test_components_of_a_step() -> None:
    """In float32: token ids and the embedding's output live to the backward pass, the hidden state that the head
    reads is its own, and what a backward window makes are gradients of weights or passing."""
    trace, _ = traced(packing=True)
    kinds = {one.window.phase: [(made.size, made.component) for made in one.allocations] for one in trace.windows[1:]}
    hidden = B * S * HIDDEN * 4
    assert kinds[EMBED] == [(BATCH, SAVED), (BATCH, SAVED), (hidden, SAVED)]
    assert kinds[FORWARD] == [(hidden, LOSS)]
    assert {component for _, component in kinds[HEAD]} == {LOSS}
    assert B * S * VOCABULARY * 4 in [size for size, _ in kinds[HEAD]]
    gradients = {name: trace.allocation(free) for name, free in trace.gradients.items()}
    assert {name: made.size for name, made in gradients.items()} == {
        "embed.weight": VOCABULARY * HIDDEN * 4,
        "layers.0.weight": HIDDEN * HIDDEN * 4,
        "layers.0.bias": HIDDEN * 4,
        "head.weight": VOCABULARY * HIDDEN * 4,
        "head.bias": VOCABULARY * 4,
    }
    assert {component for _, component in kinds[BACKWARD]} == {"gradients", TEMPORARY}


def test_all_but_gradients_ends_with_the_step() -> None:
    trace, _ = traced()
    made = {(one.window, one.number) for window in trace.windows[1:] for one in window.allocations}
    freed = {(step.window, step.number) for one in trace.windows for step in one.steps if isinstance(step, tuple)}
    assert made - freed == {(free.window, free.number) for free in trace.gradients.values()}


def test_labels_and_ids_are_let_go_where_nothing_holds_them() -> None:
    """The batch ends with the forward pass, in whose last window what nothing has saved is freed."""
    trace, _ = traced(packing=False)
    mask = (1, 2)
    ended = next(one.window.phase for one in trace.windows for step in one.steps if tuple_of(step) == mask)
    assert ended == HEAD


def tuple_of(step: Any) -> tuple[int, int] | None:
    return (step.window, step.number) if isinstance(step, tuple) else None


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        traced()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()

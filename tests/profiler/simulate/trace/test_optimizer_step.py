"""Two optimizer steps on three tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from planner.errors import Abstention
from planner.run import TrainingRun
from profiler.simulate.build.optimizers import Roles
from profiler.simulate.device import kernels, on_sim
from profiler.simulate.trace.optimizer_step import TrainedTensor, trace_optimizer
from profiler.simulate.trace.trace import (
    CLIP,
    LOAD,
    MADE,
    OPTIMIZER,
    OPTIMIZER_STATES,
    ZERO_GRAD,
    Allocation,
    Free,
    Trace,
    Window,
)

SHAPES = {"a": (64, 8), "b": (100,), "c": (8192,)}
ELEMENTS = 64 * 8 + 100 + 8192


def trace_of(optimizer: str, **fields: Any) -> Trace:
    tensors = [TrainedTensor(name, shape, torch.float32) for name, shape in SHAPES.items()]
    run = TrainingRun(model="llama-3.1-8b", optimizer=optimizer, **fields)
    with on_sim(padded=False):
        return trace_optimizer(tensors, Roles(frozenset(SHAPES), frozenset()), run, kernels.answer)


def states(trace: Trace, window: Window) -> int:
    return sum(
        made.size
        for traced in trace.windows
        if traced.window == window
        for made in traced.allocations
        if made.component == OPTIMIZER_STATES
    )


def test_windows() -> None:
    windows = [traced.window for traced in trace_of("adamw_torch_fused").windows]
    steps = [Window(phase, None, number) for number in (0, 1) for phase in (CLIP, OPTIMIZER, ZERO_GRAD)]
    assert windows == [Window(LOAD), Window(OPTIMIZER, None, MADE), *steps]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        # two states an element; AdamW counts each tensor's steps in a float32 on the device when it is fused
        ("adamw_torch_fused", 2 * 4 * ELEMENTS + 3 * 4),
        ("adamw_torch", 2 * 4 * ELEMENTS),
        # from 4096 elements on in 8 bits, a float32 for 256 of them, and two code books of 256 float32
        ("adamw_bnb_8bit", 2 * 4 * (64 * 8 + 100) + 2 * (8192 + 4 * 32) + 2 * 1024),
        ("lion_32bit", 4 * ELEMENTS),
        ("sgd", 0),
    ],
)
def test_the_first_step_makes_the_states_and_the_second_none(optimizer: str, expected: int) -> None:
    trace = trace_of(optimizer)
    assert states(trace, Window(OPTIMIZER, None, 0)) == expected
    assert states(trace, Window(OPTIMIZER, None, 1)) == 0


def test_adagrad_makes_its_states_at_once() -> None:
    assert states(trace_of("adagrad"), Window(OPTIMIZER, None, MADE)) >= 4 * ELEMENTS


def test_foreach_needs_temporaries_as_large_as_a_state() -> None:
    """`_multi_tensor_adamw` divides square roots of all second moments, which are new tensors."""
    window = next(traced for traced in trace_of("adamw_torch").windows if traced.window == Window(OPTIMIZER, None, 1))
    alive = most = 0
    for step in window.steps:
        alive += step.size if isinstance(step, Allocation) else -window.allocations[step.number].size
        most = max(most, alive)
    assert most == 4 * ELEMENTS
    assert alive == 0


@pytest.mark.parametrize("norm", [1.0, 0.0])
def test_the_norm_is_made_with_and_without_clipping(norm: float) -> None:
    """`Trainer` logs it either way; it lives until the next one."""
    trace = trace_of("sgd", max_grad_norm=norm)
    first, second = (traced for traced in trace.windows if traced.window.phase == CLIP)
    assert [traced.window.part for traced in (first, second)] == [0, 1]
    assert sum(made.operator.startswith("aten._foreach_norm") for made in first.allocations) == len(SHAPES)
    freed = {(step.window, step.number) for step in first.steps if isinstance(step, Free)}
    assert len(freed) == len(first.allocations)


def test_galore_is_not_simulated() -> None:
    with pytest.raises(Abstention, match="galore"):
        trace_of("galore_adamw")

"""Clipping and the optimizer's step, traced on every trained tensor of the whole model."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn

from planner.run import TrainingRun
from profiler.simulate.build.optimizers import Roles, clip, make_optimizer, step
from profiler.simulate.device.backend import NAME, FakeMode
from profiler.simulate.trace.failures import explained
from profiler.simulate.trace.trace import (
    CLIP,
    LOAD,
    MADE,
    OPTIMIZER,
    OPTIMIZER_STATES,
    TEMPORARY,
    ZERO_GRAD,
    Trace,
    Window,
)
from profiler.simulate.trace.tracker import Answer, Tracker


class TrainedTensor(NamedTuple):
    """A trained parameter of the whole model."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype


def trace_optimizer(tensors: Sequence[TrainedTensor], roles: Roles, run: TrainingRun, answers: Answer | None) -> Trace:
    """Two steps: the first makes the states. Parameters and gradients are made in a window of their own."""
    tracker = Tracker(answers)
    with explained(tracker, run, ""), FakeMode(), tracker:
        tracker.enter(Window(LOAD))
        parameters = [(tensor.name, nn.Parameter(_empty(tensor))) for tensor in tensors]
        for (_, parameter), tensor in zip(parameters, tensors, strict=True):
            parameter.grad = _empty(tensor)
        # Adagrad makes its states at once
        tracker.enter(Window(OPTIMIZER, None, MADE))
        optimizer = make_optimizer(run, parameters, roles)
        for number in range(2):
            tracker.enter(Window(CLIP, None, number))
            # without clipping `Trainer` asks for the norm alone
            clip([parameter for _, parameter in parameters], run.max_grad_norm or math.inf)
            tracker.enter(Window(OPTIMIZER, None, number))
            step(optimizer)
            tracker.enter(Window(ZERO_GRAD, None, number))
            for allocation in tracker.live():
                made = tracker.trace.windows[allocation.window].window
                if allocation.component == TEMPORARY and made.phase == OPTIMIZER:
                    allocation.component = OPTIMIZER_STATES
        tracker.close()
    return tracker.trace


def _empty(tensor: TrainedTensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=NAME)

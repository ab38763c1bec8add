"""The time of a run's step by itself, for those who ask for its terms."""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.memory.supported import with_supported_attention
from planner.plan import resolve
from planner.run import TrainingRun
from planner.time.step import step_time
from planner.time.step_time import StepTime


def explain_time(run: TrainingRun, gpu: Gpu) -> StepTime:
    """The terms of one optimizer step of `run` on `gpu`. Raises as `resolve` and `step_time` do."""
    _, architecture = resolve(run.model, run.transformers_version)
    return step_time(architecture, with_supported_attention(architecture, run), gpu)

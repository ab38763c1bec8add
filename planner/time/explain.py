"""The time of a run's step by itself, for those who ask for its terms."""

from __future__ import annotations

from planner.catalogue import Gpu
from planner.plan import resolved_run
from planner.run import TrainingRun
from planner.time.step import step_time
from planner.time.step_time import StepTime


def explain_time(run: TrainingRun, gpu: Gpu) -> StepTime:
    """The terms of one optimizer step of `run` on `gpu`. Raises as `resolved_run` and `step_time` do."""
    _, architecture, run = resolved_run(run)
    return step_time(architecture, run, gpu)

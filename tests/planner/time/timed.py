"""A step's time in one line."""

from __future__ import annotations

from functools import cache
from typing import Any

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu, find_gpu
from planner.memory.supported import with_supported_attention
from planner.plan import resolve
from planner.run import TrainingRun
from planner.time.step import step_time
from planner.time.step_time import StepTime

SMALL = "Qwen/Qwen2.5-0.5B"


@cache
def architecture_of(model: str) -> Architecture:
    return resolve(model)[1]


def run_of(**fields: Any) -> TrainingRun:
    return TrainingRun(**({"model": SMALL, "method": "lora", "packing": True} | fields))


def timed(gpu: str | Gpu = "a100-80", **fields: Any) -> StepTime:
    """The time of a step; Qwen2.5-0.5B with LoRA on an A100 where nothing else is said."""
    run = run_of(**fields)
    architecture = architecture_of(run.model)
    return step_time(
        architecture,
        with_supported_attention(architecture, run),
        find_gpu(gpu).gpu if isinstance(gpu, str) else gpu,
    )


def seconds_of(time: StepTime) -> dict[str, float]:
    """Its lines by their names."""
    return {term.name: term.seconds for term in time.terms}

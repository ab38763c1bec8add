"""How fast the runs of claims go."""

from __future__ import annotations

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention
from planner.run import TrainingRun
from planner.time.step_time import StepTime
from profiler.claims.quantities import Quantity, planned
from profiler.claims.words import number

REFERENCE_CARD = "a100-80"
"""Where an article compares two runs and names no card. Ratios of times differ little from one card to another."""


def timed(run: TrainingRun, gpu: Gpu) -> StepTime:
    """A step of a run on a card. Raises `Abstention` where its time is not known."""
    time = planned(run, gpu).time
    if time is None:
        raise Abstention(f"how long a step of this run takes on {gpu.name} is not known")
    return time


def card_seconds_per_token(run: TrainingRun, gpu: Gpu) -> float:
    """What a token costs, in seconds of one card."""
    return run.num_gpus / timed(run, gpu).tokens_per_s


def _speed_up(run: TrainingRun) -> float:
    gpu = find_gpu(REFERENCE_CARD).gpu
    return card_seconds_per_token(run.replace(kernels="hf"), gpu) / card_seconds_per_token(run, gpu)


def _why_speed_up(run: TrainingRun) -> str:
    gpu = find_gpu(REFERENCE_CARD).gpu
    fast, plain = (timed(each, gpu).tokens_per_s for each in (run, run.replace(kernels="hf")))
    return f"{number(fast)} tokens a second on one {gpu.name} instead of {number(plain)} with transformers' own kernels"


SPEED_UP = Quantity(_speed_up, _why_speed_up, ("kernels", "gradient_checkpointing"), {"kernels": "unsloth"})

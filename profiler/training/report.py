"""What is said of a training at its end."""

from __future__ import annotations

from dataclasses import dataclass

from planner.plan_types import Parameters, Plan
from planner.run import TrainingRun
from profiler.measure.types import MeasuredDevice
from profiler.training.data import Lengths
from profiler.training.forecast import Forecast
from profiler.training.training import Watched


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """One training: what was planned of it, and what was seen."""

    outcome: str
    """How it ended, in words: `all 120 steps done`, `ended after 14 of 120 steps: KeyboardInterrupt`."""
    model: str
    """`LlamaForCausalLM`"""
    parameters: Parameters
    device: MeasuredDevice | None
    run: TrainingRun | None
    """With the largest batch that was seen; None where `unplanned` says why."""
    plan: Plan | None
    """Of `run`; on the card that it was done on, or that was named."""
    unplanned: str | None
    """Why there is no plan."""
    lengths: Lengths
    watched: Watched
    forecast: Forecast | None
    """Of the largest batch to come, made at step 2; None where none was larger, or none could be made."""
    warning: str | None
    """What was said then of batches that would not fit."""
    notes: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    ranks: int
    """Processes of the training; the figures are of one."""
    record: str
    """What became of the record, in a sentence."""

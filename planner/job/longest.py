"""The run that a dataset asks for: as long as its longest example, which decides the peak."""

from __future__ import annotations

from planner.job.job import Job
from planner.run import TrainingRun


def run_for(run: TrainingRun, job: Job | None) -> TrainingRun:
    """The run with the longest example's length, where nothing says how long its sequences are.

    Packed sequences are as long as they are made, and what is longer than a stated length is cut off.
    """
    if job is None or job.lengths is None or run.packing or "sequence_length" not in run.defaulted:
        return run
    return run.replace(sequence_length=job.lengths.longest)

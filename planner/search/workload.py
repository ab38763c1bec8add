"""How many steps a job has in each of many ways to split it, and what it takes beside them: `planner.job` in numpy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.dataset.padding import summarized
from planner.job import Job
from planner.job.fixed_costs import (
    DISK_BYTES_PER_S,
    DOWNLOAD_BYTES_PER_S,
    LOAD_BYTES_PER_S,
    forward_share,
    start_up,
)
from planner.job.job_time import LENGTHS
from planner.job.rows import rows_of
from planner.job.steps import count_steps
from planner.plan_types import Footprint
from planner.run import TrainingRun

COARSE = 128
"""Lengths that a dataset's are brought down to for a search. What is shown of it is worked out from all of them."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One job with one split of its steps."""

    lengths: tuple[tuple[int, float], ...]
    """(tokens of a sequence, the share of micro-batches that are so long)."""
    steps: float
    """Full optimizer steps; one of fewer micro-batches counts as a part."""
    evaluated: float
    """Rows of all evaluations for each row of training."""
    saves: int
    """Checkpoints."""


def workload(run: TrainingRun, job: Job) -> Workload:
    """What `planner.job.job_time` works a job's steps out from."""
    rows = rows_of(run, job)
    steps = count_steps(rows.training, run, job)
    times = max(1, int(steps.epochs))
    return Workload(
        lengths=tuple((max(1, round(length)), share) for length, share in summarized(rows.batches, LENGTHS)),
        steps=steps.micro_batches / run.gradient_accumulation_steps,
        evaluated=times * rows.evaluation / rows.training / steps.epochs,
        saves=-(-steps.total // job.save_steps) if job.save_steps else 0,
    )


def seconds_beside(job: Job, load: Workload, num_gpus: int, files: Footprint) -> float:
    """Seconds of a job beside its steps and its evaluations."""
    download = files.disk_bytes - files.checkpoint_bytes - files.adapter_file_bytes
    rate = DOWNLOAD_BYTES_PER_S.expected if job.download_bytes_per_s is None else job.download_bytes_per_s
    spent = start_up(num_gpus).expected + download / rate + download / LOAD_BYTES_PER_S.expected
    spent += (load.saves * files.checkpoint_bytes + files.adapter_file_bytes) / DISK_BYTES_PER_S.expected
    if job.merge and files.merge_ram_bytes:
        merged = files.merge_ram_bytes - files.adapter_file_bytes
        spent += merged / LOAD_BYTES_PER_S.expected + merged / DISK_BYTES_PER_S.expected
    return spent


def evaluation_share(run: TrainingRun, load: Workload) -> float:
    """What evaluations add to training, as a share of its seconds."""
    return forward_share(run) * load.evaluated


def coarse(job: Job) -> Job:
    """The same job with a dataset of a few lengths only, and as many examples and tokens."""
    profile = job.lengths
    if profile is None or len(profile.histogram) <= COARSE:
        return job
    merged: list[tuple[int, int]] = []
    each, taken = profile.examples / COARSE, 0
    held: list[tuple[int, int]] = []
    for length, count in profile.histogram:
        held.append((length, count))
        taken += count
        if taken >= each * (len(merged) + 1):
            merged.append(_one(held))
            held = []
    if held:
        merged.append(_one(held))
    return replace(job, lengths=replace(profile, histogram=tuple(merged)))


def _one(lengths: list[tuple[int, int]]) -> tuple[int, int]:
    count = sum(count for _, count in lengths)
    return round(sum(length * count for length, count in lengths) / count), count

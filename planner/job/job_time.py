"""`job_time`: how long a job takes, from the order of the machine to the last file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from planner.dataset.padding import summarized
from planner.job.fixed_costs import (
    DISK_BYTES_PER_S,
    DOWNLOAD_BYTES_PER_S,
    LOAD_BYTES_PER_S,
    Range,
    forward_share,
    seconds,
    start_up,
)
from planner.job.job import Job
from planner.job.rows import Rows, rows_of
from planner.job.steps import Steps, count_steps
from planner.plan_types import Footprint
from planner.run import TrainingRun
from planner.time.step_time import StepTime
from planner.units import format_bytes

LENGTHS = 8
"""Batch lengths at which the step's time is worked out: the means of eighths of all batches. Time is nearly affine in
length, so that what the spread within an eighth adds to attention's quadratic part is small."""

StepAt = Callable[[int], StepTime]
"""The step's time when its sequences have so many tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """One line of a job's time."""

    name: str
    """start-up, download, load, training, evaluation, checkpoints or merge."""

    seconds: float
    low_s: float
    high_s: float

    text: str
    """What it was worked out from, with this job's numbers."""


@dataclass(frozen=True, slots=True)
class JobTime:
    """How long a job takes, and of what."""

    steps: int
    """Optimizer steps."""

    steps_per_epoch: int

    epochs: float
    """Times that every example is seen, which `max_steps` may make fewer or more than the job's."""

    examples: int
    """Trained on in one epoch, before packing has joined any; sequences where only tokens are known."""

    tokens: float
    """Trained on in all epochs, without padding."""

    padded_tokens: float
    """Positions in all epochs, padding included."""

    parts: tuple[Part, ...]
    """In the order in which they happen, those that take time; they add up to `seconds`."""

    coverage: float
    """Of the interval of the step's time. Those of the other parts are assumptions."""

    assumptions: tuple[str, ...]
    """What was assumed, a sentence each."""

    @property
    def seconds(self) -> float:
        """Of everything."""
        return sum(part.seconds for part in self.parts)

    @property
    def hours(self) -> float:
        """Of everything."""
        return self.seconds / 3600

    @property
    def hours_interval(self) -> tuple[float, float]:
        """The fast and the slow end, all parts at theirs together."""
        return sum(part.low_s for part in self.parts) / 3600, sum(part.high_s for part in self.parts) / 3600

    @property
    def tokens_per_s(self) -> float:
        """Without padding, while training."""
        return self.tokens / self.part("training").seconds

    def part(self, name: str) -> Part:
        """The part called `name`."""
        return next(part for part in self.parts if part.name == name)


def job_time(
    run: TrainingRun,
    job: Job,
    step_at: StepAt,
    footprint: Footprint,
    *,
    evaluation_s_per_token: float | None = None,
) -> JobTime:
    """How long `job` takes with `run`.

    `step_at` gives the time of an optimizer step on all GPUs when its sequences have so many tokens; it is called for
    at most `LENGTHS` + 1 lengths. `evaluation_s_per_token` is that of a forward pass on all GPUs together; without it
    evaluation takes the forward pass's share of training.
    """
    rows = rows_of(run, job)
    steps = count_steps(rows.training, run, job)
    step = _step(rows, step_at)
    training = _training(run, steps, step)
    parts = [
        _part("start-up", start_up(run.num_gpus), f"an instance with {run.num_gpus} GPU{'s' * (run.num_gpus > 1)}"),
        *_model(job, footprint),
        training,
        *_evaluation(run, rows, steps, training, evaluation_s_per_token),
        *_files(job, steps, footprint),
    ]
    return JobTime(
        steps=steps.total,
        steps_per_epoch=steps.per_epoch,
        epochs=steps.epochs,
        examples=_examples(job, rows),
        tokens=rows.tokens * steps.epochs,
        padded_tokens=rows.padded * steps.epochs,
        parts=tuple(part for part in parts if part.seconds),
        coverage=step_at(run.sequence_length).coverage,
        assumptions=(*rows.assumptions, *_assumptions(run, job, rows, evaluation_s_per_token)),
    )


def _step(rows: Rows, step_at: StepAt) -> Range:
    """Seconds of a full optimizer step, over the lengths of its batches."""
    expected = low = high = 0.0
    for length, share in summarized(rows.batches, LENGTHS):
        at = step_at(max(1, round(length)))
        expected += share * at.step_s
        low += share * at.low_s
        high += share * at.high_s
    if rows.shortest < rows.longest:
        low = min(low, step_at(max(1, round(rows.shortest))).low_s)
        high = max(high, step_at(round(rows.longest)).high_s)
    return Range(low, expected, high)


def _training(run: TrainingRun, steps: Steps, step: Range) -> Part:
    """A step of fewer micro-batches than the others counts as that share of one."""
    full = steps.micro_batches / run.gradient_accumulation_steps
    text = f"{steps.total:,} steps of {step.expected:,.3g} s"
    return Part("training", full * step.expected, full * step.low, full * step.high, text)


def _model(job: Job, footprint: Footprint) -> list[Part]:
    size = footprint.disk_bytes - footprint.checkpoint_bytes - footprint.adapter_file_bytes
    rate = job.download_bytes_per_s
    given = Range(rate, rate, rate) if rate is not None else DOWNLOAD_BYTES_PER_S
    return [
        _part("download", seconds(size, given), f"{format_bytes(size)} at {given.expected / 1e6:,.4g} MB/s"),
        _part(
            "load", seconds(size, LOAD_BYTES_PER_S), f"{format_bytes(size)} at {LOAD_BYTES_PER_S.expected / 1e9:g} GB/s"
        ),
    ]


def _evaluation(run: TrainingRun, rows: Rows, steps: Steps, training: Part, s_per_token: float | None) -> list[Part]:
    if not rows.evaluation:
        return []
    times = math.ceil(steps.epochs)
    # as long, and padded as far, as what is trained on
    of_an_epoch = times * rows.evaluation / rows.training / steps.epochs
    if s_per_token is None:
        share = forward_share(run) * of_an_epoch
        spent = Range(share * training.low_s, share * training.seconds, share * training.high_s)
    else:
        expected = s_per_token * rows.padded * steps.epochs * of_an_epoch
        spent = Range(
            expected * training.low_s / training.seconds, expected, expected * training.high_s / training.seconds
        )
    return [_part("evaluation", spent, f"{rows.evaluation:,} rows, {times:,} {'times' if times > 1 else 'time'}")]


def _files(job: Job, steps: Steps, footprint: Footprint) -> list[Part]:
    saves = -(-steps.total // job.save_steps) if job.save_steps else 0
    written = saves * footprint.checkpoint_bytes + footprint.adapter_file_bytes
    text = f"{saves:,} of {format_bytes(footprint.checkpoint_bytes)}, and the final file"
    parts = [_part("checkpoints", seconds(written, DISK_BYTES_PER_S), text)]
    if job.merge and footprint.merge_ram_bytes:
        merged = footprint.merge_ram_bytes - footprint.adapter_file_bytes
        read, write = seconds(merged, LOAD_BYTES_PER_S), seconds(merged, DISK_BYTES_PER_S)
        both = Range(read.low + write.low, read.expected + write.expected, read.high + write.high)
        parts.append(_part("merge", both, f"{format_bytes(merged)} read and written"))
    return parts


def _examples(job: Job, rows: Rows) -> int:
    return rows.training if job.all_examples is None else job.all_examples - job.held_out(job.all_examples)


def _assumptions(run: TrainingRun, job: Job, rows: Rows, s_per_token: float | None) -> list[str]:
    start, disk = start_up(run.num_gpus), DISK_BYTES_PER_S
    said = list(job.lengths.assumptions) if job.lengths is not None else []
    if run.num_gpus > 1 and not run.packing:
        said.append("Every micro-batch takes as long as the longest of all GPUs does.")
    said.append(
        f"Start-up takes {start.low / 60:g} to {start.high / 60:g} minutes, as Lambda documents for its instances."
    )
    if job.download_bytes_per_s is None:
        rate = DOWNLOAD_BYTES_PER_S
        said.append(
            f"The model arrives at {rate.expected / 1e6:g} MB/s, or {rate.low / 1e6:g} to {rate.high / 1e6:g}; "
            "--download-mbps says otherwise."
        )
    said.append(f"It is loaded at {LOAD_BYTES_PER_S.expected / 1e9:g} GB/s.")
    said.append(
        f"Files are written at {disk.expected / 1e6:.0f} MB/s, or {disk.low / 1e6:.0f} to {disk.high / 1e6:.0f}, "
        "the range of an AWS gp3 volume."
    )
    if rows.evaluation:
        said.append("Evaluation is once an epoch" + ("." if s_per_token is not None else _forward(run)))
    return said


def _forward(run: TrainingRun) -> str:
    return f", and takes 1/{round(1 / forward_share(run))} of what training takes for as many rows: the forward FLOPs."


def _part(name: str, spent: Range, text: str) -> Part:
    return Part(name, spent.expected, spent.low, spent.high, text)

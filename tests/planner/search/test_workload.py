"""A job's steps, in a search."""

from __future__ import annotations

import pytest

from planner.dataset.lengths import LengthProfile
from planner.job import Job
from planner.run import TrainingRun
from planner.search.workload import COARSE, coarse, workload


def lengths(histogram: tuple[tuple[int, int], ...]) -> LengthProfile:
    return LengthProfile(
        source="made up",
        histogram=histogram,
        tokens=sum(length * count for length, count in histogram),
        longest=histogram[-1][0],
        layouts=(("text", sum(count for _, count in histogram)),),
        counted="made up",
        assumptions=(),
        skipped=(),
        unit="line",
    )


def test_a_dataset_is_brought_down_to_a_few_lengths() -> None:
    profile = lengths(tuple((length, 1 + length % 3) for length in range(1, 2049)))
    few = coarse(Job(lengths=profile)).lengths
    assert few is not None
    assert len(few.histogram) <= COARSE
    assert few.examples == profile.examples
    assert sum(length * count for length, count in few.histogram) == pytest.approx(profile.tokens, rel=1e-3)


def test_what_is_short_already_stays() -> None:
    job = Job(lengths=lengths(((10, 5), (20, 5))))
    assert coarse(job) is job
    assert coarse(Job(tokens=5)).lengths is None


def test_steps_by_hand() -> None:
    """1,000 examples of 2,048 tokens, 2 a micro-batch, 4 accumulated, 2 GPUs: 250 micro-batches each, 63 steps."""
    run = TrainingRun(model="any", micro_batch_size=2, gradient_accumulation_steps=4, num_gpus=2, sequence_length=2048)
    load = workload(run, Job(examples=1000, save_steps=20))
    assert load.lengths == ((2048, 1.0),)
    assert load.steps == 250 / 4
    assert load.saves == 4

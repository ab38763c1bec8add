"""The time of a job, by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from planner.job import Job, JobTime, job_time
from planner.job.job_time import LENGTHS, StepAt
from planner.plan_types import Footprint
from planner.run import TrainingRun
from planner.time.step_time import StepTime
from planner.units import GIB
from tests.planner.dataset.test_lengths import profile

FOOTPRINT = Footprint(
    adapter_file_bytes=GIB // 10,
    checkpoint_bytes=GIB // 2,
    host_ram_bytes=8 * GIB,
    merge_ram_bytes=16 * GIB + GIB // 10,
    disk_bytes=16 * GIB + GIB // 2 + GIB // 10,
)
RUN = TrainingRun(model="gpt2", micro_batch_size=4, gradient_accumulation_steps=2, sequence_length=100)


def step(seconds: float, tokens: int = 0) -> StepTime:
    return StepTime(
        step_s=seconds,
        low_s=seconds * 0.8,
        high_s=seconds * 1.25,
        coverage=0.9,
        tokens=tokens,
        terms=(),
        mfu=None,
        hfu=None,
        basis="",
    )


def seconds_per_token(length: int) -> StepTime:
    """A hundredth of a second for each token of a sequence."""
    return step(length / 100)


def time(job: Job, run: TrainingRun = RUN, step_at: StepAt = seconds_per_token, **options: Any) -> JobTime:
    return job_time(run, job, step_at, FOOTPRINT, **options)


def test_full_sequences() -> None:
    """1,000 examples of 100 tokens in steps of 8, each 1 s, two epochs."""
    found = time(Job(examples=1000, epochs=2))
    assert (found.steps, found.steps_per_epoch, found.epochs, found.examples) == (250, 125, 2, 1000)
    assert (found.tokens, found.padded_tokens) == (200_000, 200_000)
    training = found.part("training")
    assert (training.seconds, training.low_s, training.high_s) == pytest.approx((250, 200, 312.5))
    assert found.tokens_per_s == pytest.approx(800)
    assert found.coverage == 0.9


def test_the_parts_add_up() -> None:
    found = time(Job(examples=1000, eval_split=0.1, merge=True))
    assert [part.name for part in found.parts] == [
        "start-up", "download", "load", "training", "evaluation", "checkpoints", "merge",
    ]  # fmt: skip
    assert found.hours == pytest.approx(sum(part.seconds for part in found.parts) / 3600)
    low, high = found.hours_interval
    assert low < found.hours < high
    assert all(part.low_s <= part.seconds <= part.high_s for part in found.parts)


def test_fixed_costs_by_hand() -> None:
    found = time(Job(examples=1000, download_bytes_per_s=GIB / 4, save_steps=50, merge=True))
    assert found.part("start-up").seconds == 240
    assert found.part("download").seconds == pytest.approx(64)
    assert found.part("download").low_s == found.part("download").high_s
    assert found.part("load").seconds == pytest.approx(16 * GIB / 1e9)
    # 125 steps: after 50, 100, and the last
    assert found.part("checkpoints").seconds == pytest.approx((3 * 0.5 + 0.1) * 1024 / 354, rel=1e-6)
    assert found.part("merge").seconds == pytest.approx(16 * GIB / 1e9 + 16 * 1024 / 354)
    assert not any("--download-mbps" in sentence for sentence in found.assumptions)


def test_without_checkpoints_the_adapter_is_written_alone() -> None:
    found = time(Job(examples=1000, save_steps=0))
    assert found.part("checkpoints").seconds == pytest.approx(0.1 * 1024 / 354, rel=1e-6)


def test_evaluation_is_a_forward_pass_of_what_was_kept() -> None:
    """A tenth of the rows, once in each of two epochs, at a third of a training step (LoRA with checkpointing)."""
    found = time(Job(examples=1000, eval_split=0.1, epochs=2))
    assert found.part("evaluation").seconds == pytest.approx(found.part("training").seconds / 9 / 3, rel=0.01)
    given = time(Job(examples=1000, eval_split=0.1, epochs=2), evaluation_s_per_token=1e-3)
    assert given.part("evaluation").seconds == pytest.approx(2 * 100 * 100 * 1e-3)


def test_steps_stop_where_they_are_told_to() -> None:
    found = time(Job(examples=1000, epochs=9, max_steps=25))
    assert (found.steps, found.epochs, found.tokens) == (25, pytest.approx(0.2), pytest.approx(20_000))
    assert found.part("training").seconds == pytest.approx(25)


def test_the_last_step_of_an_epoch_may_be_smaller() -> None:
    """12 rows are three micro-batches of four: a step of two, and one of one."""
    found = time(Job(examples=12))
    assert found.steps == 2
    assert found.part("training").seconds == pytest.approx(1.5)


def test_lengths_of_a_dataset_by_simulation() -> None:
    """Steps of two micro-batches on one GPU, of which the time has a quadratic part."""
    numbers = random.Random(2)
    lengths = [min(100, 1 + int(numbers.lognormvariate(3, 0.8))) for _ in range(800)]

    def quadratic(length: int) -> StepTime:
        return step(0.1 + length / 100 + (length / 100) ** 2)

    spent = 0.0
    for _ in range(200):
        numbers.shuffle(lengths)
        batches = [max(lengths[start : start + 4]) for start in range(0, 800, 4)]
        spent += sum(quadratic(length).step_s for length in batches) / 2 / 200
    found = time(Job(lengths=profile(lengths)), step_at=quadratic)
    assert found.part("training").seconds == pytest.approx(spent, rel=0.01)
    assert found.tokens == sum(lengths)


def test_the_slowest_gpu_is_waited_for() -> None:
    lengths = profile([10] * 900 + [100] * 100)
    two = RUN.replace(num_gpus=2, strategy="ddp")
    found = time(Job(lengths=lengths), two)
    # 8 of the 1,000 examples are all short, or the step's sequences have 100 tokens
    short = math.comb(900, 8) / math.comb(1000, 8)
    assert found.part("training").seconds == pytest.approx(63 * (short * 0.1 + (1 - short) * 1), rel=0.01)
    assert found.part("start-up").seconds == 750
    assert "Every micro-batch takes as long as the longest of all GPUs does." in found.assumptions


def test_lengths_that_are_assumed_widen_the_interval() -> None:
    part = time(Job(examples=1000, tokens=20_000)).part("training")
    assert part.low_s == pytest.approx(125 * 0.2 * 0.8)
    assert part.high_s == pytest.approx(125 * 1 * 1.25)


def test_few_lengths_are_asked_for() -> None:
    asked: list[int] = []

    def step_at(length: int) -> StepTime:
        asked.append(length)
        return seconds_per_token(length)

    time(Job(lengths=profile(list(range(1, 100)) * 5)), step_at=step_at)
    assert len(asked) <= LENGTHS + 1


def test_assumptions_of_the_dataset_are_handed_on() -> None:
    import dataclasses

    lengths = dataclasses.replace(profile([5, 6]), assumptions=("A token has 4 characters.",))
    assert "A token has 4 characters." in time(Job(lengths=lengths)).assumptions


def test_packed_sequences_are_full() -> None:
    found = time(Job(lengths=profile([30] * 1000)), RUN.replace(packing=True))
    assert found.steps_per_epoch == math.ceil(math.ceil(334 / 4) / 2)
    assert (found.examples, found.tokens, found.padded_tokens) == (1000, 30_000, 33_400)

"""A dataset's longest example is the length of a run that says none."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.dataset import profile_dataset
from planner.job import Job, run_for
from planner.run import TrainingRun


@pytest.fixture
def job(tmp_path: Path) -> Job:
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "four char"}\n{"text": "' + "x" * 400 + '"}\n', encoding="utf-8")
    return Job(lengths=profile_dataset(file, characters_per_token=4))


def test_the_longest_example_decides(job: Job) -> None:
    assert run_for(TrainingRun(model="llama-3.1-8b"), job).sequence_length == 100


def test_a_stated_length_cuts_and_a_packed_one_is_filled(job: Job) -> None:
    for run in (
        TrainingRun(model="llama-3.1-8b", sequence_length=64),
        TrainingRun(model="llama-3.1-8b", packing=True),
    ):
        assert run_for(run, job) is run


def test_a_job_without_a_dataset_says_nothing_of_lengths() -> None:
    run = TrainingRun(model="llama-3.1-8b")
    assert run_for(run, Job(examples=10)) is run
    assert run_for(run, None) is run

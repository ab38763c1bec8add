"""What a job may say."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.job import Job
from tests.planner.dataset.test_lengths import profile


def test_amounts() -> None:
    assert Job(examples=100, tokens=5000).mean_length == 50
    assert Job(examples=100).mean_length is None
    assert Job(tokens=5000).all_examples is None
    both = Job(lengths=profile([10, 20, 30]))
    assert (both.all_examples, both.all_tokens, both.mean_length) == (3, 60, 20)


def test_rows_held_out_are_rounded_up() -> None:
    """`Dataset.train_test_split(test_size=0.1)` of 25 rows leaves 22."""
    assert Job(examples=25, eval_split=0.1).held_out(25) == 3


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "a job needs examples, tokens or a dataset"),
        ({"epochs": 3}, "a job needs examples, tokens or a dataset"),
        ({"examples": 0}, "examples must be a whole number from 1"),
        ({"examples": 1.5}, "examples must be a whole number from 1"),
        ({"examples": True}, "examples must be a whole number from 1"),
        ({"examples": 10, "epochs": 0}, "epochs must be a number above 0"),
        ({"examples": 10, "epochs": float("nan")}, "epochs must be a number above 0"),
        ({"examples": 10, "eval_split": 1}, "eval_split must be a number at least 0 and below 1"),
        ({"examples": 10, "eval_split": 0.95}, "eval_split leaves no example of 10 to train on"),
        ({"examples": 10, "max_steps": 0}, "max_steps must be"),
        ({"examples": 10, "save_steps": -1}, "save_steps must be"),
        ({"examples": 10, "download_bytes_per_s": 0}, "download_bytes_per_s must be"),
        ({"examples": 10, "tokens": 9}, "tokens must be at least one for each of the 10 examples, not 9"),
        ({"examples": 10, "lengths": profile([1])}, "examples and a dataset say the same"),
        ({"tokens": 10, "lengths": profile([1])}, "tokens and a dataset say the same"),
    ],
)
def test_jobs_that_are_none(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        Job(**fields)
    assert str(caught.value).startswith(says)
    assert caught.value.field is not None
    assert caught.value.field in str(caught.value)

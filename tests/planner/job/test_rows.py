"""What a dataset is once it is cut, split, and padded or packed."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.dataset.padding import mean_length
from planner.job import Job
from planner.job.rows import exponential_longest, rows_of
from planner.run import TrainingRun
from tests.planner.dataset.test_lengths import profile
from tests.planner.dataset.test_packing import best_fit_decreasing


def run(batch: int = 1, limit: int = 100, gpus: int = 1, packing: bool = False) -> TrainingRun:
    return TrainingRun(model="gpt2", micro_batch_size=batch, sequence_length=limit, num_gpus=gpus, packing=packing)


LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=40)


@given(LENGTHS, st.integers(1, 8), st.integers(1, 4))
def test_a_dataset_is_cut_and_padded(lengths: list[int], batch: int, gpus: int) -> None:
    rows = rows_of(run(batch, gpus=gpus), Job(lengths=profile(lengths)))
    cut = [min(100, length) for length in lengths]
    assert rows.training == len(lengths)
    assert rows.tokens == sum(cut)
    assert sum(cut) <= rows.padded * (1 + 1e-9)
    assert rows.padded <= len(cut) * max(cut) * (1 + 1e-9)
    assert rows.shortest == rows.longest == mean_length(rows.batches)


@given(LENGTHS)
def test_a_dataset_is_packed(lengths: list[int]) -> None:
    rows = rows_of(run(packing=True), Job(lengths=profile(lengths)))
    assert rows.training == best_fit_decreasing(lengths, 100)
    assert rows.tokens == sum(min(100, length) for length in lengths)
    assert rows.padded == rows.training * 100
    assert rows.batches == ((100, 1.0),)


@pytest.mark.parametrize("packing", [False, True])
def test_a_tenth_is_kept_for_evaluation(packing: bool) -> None:
    rows = rows_of(run(4, packing=packing), Job(lengths=profile([50] * 1000), eval_split=0.1))
    assert (rows.training, rows.evaluation) == ((450, 50) if packing else (900, 100))
    assert rows.tokens == pytest.approx(45_000)
    assert rows.padded == pytest.approx(45_000)


def test_examples_alone_are_full() -> None:
    rows = rows_of(run(4), Job(examples=10))
    assert (rows.training, rows.tokens, rows.padded, rows.batches) == (10, 1000, 1000, ((100, 1.0),))
    assert "Each example is taken as 100 tokens" in rows.assumptions[0]


def test_tokens_alone_are_full_sequences() -> None:
    for packing in (False, True):
        rows = rows_of(run(4, packing=packing), Job(tokens=1050))
        assert (rows.training, rows.tokens) == (11, 1050)


def test_a_mean_length_alone() -> None:
    """Single examples are as long as their mean; of four, the longest is 1 + 1/2 + 1/3 + 1/4 of it."""
    single, four = (rows_of(run(batch), Job(examples=10, tokens=200)) for batch in (1, 4))
    assert (single.batches, single.shortest, single.longest) == (((20, 1.0),), 20, 20)
    assert four.padded == pytest.approx(10 * 20 * 25 / 12)
    assert (four.shortest, four.longest) == (20, 100)
    assert rows_of(run(4, packing=True), Job(examples=10, tokens=200)).training == 2


def test_a_mean_above_the_limit_is_cut() -> None:
    rows = rows_of(run(4), Job(examples=10, tokens=5000))
    assert (rows.tokens, rows.padded) == (1000, 1000)


def test_the_longest_of_exponential_lengths() -> None:
    numbers = random.Random(0)
    seen = [max(numbers.expovariate(1 / 20) for _ in range(8)) for _ in range(20_000)]
    mean = sum(seen) / len(seen)
    error = math.sqrt(sum((value - mean) ** 2 for value in seen)) / len(seen)
    assert abs(exponential_longest(20, 8, 10**9) - mean) < 5 * error
    assert exponential_longest(1, 1001, 10**9) == pytest.approx(sum(1 / n for n in range(1, 1002)), abs=1e-7)
    assert exponential_longest(20, 10**9, 100) == 100

"""Padded batches, against every batch there can be, and against shuffled epochs."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.dataset.padding import batch_lengths, mean_length, padded_tokens, summarized

FEW = st.lists(st.integers(1, 50), min_size=1, max_size=9)


def histogram(lengths: list[int]) -> list[tuple[int, int]]:
    return sorted(Counter(lengths).items())


@given(FEW, st.integers(1, 12))
def test_the_longest_of_every_possible_batch(lengths: list[int], batch_size: int) -> None:
    longest = Counter(max(batch) for batch in combinations(lengths, min(batch_size, len(lengths))))
    every = sum(longest.values())
    found = dict(batch_lengths(histogram(lengths), batch_size))
    assert found.keys() == longest.keys()
    for length, count in longest.items():
        assert math.isclose(found[length], count / every, rel_tol=1e-9)


@pytest.mark.parametrize("batch_size", [1, 4, 7, 64])
def test_the_padding_of_shuffled_epochs(batch_size: int) -> None:
    """Examples of log-normal lengths, cut at 400; the last batch is smaller."""
    numbers = random.Random(1)
    lengths = [min(2000, 1 + int(numbers.lognormvariate(4.5, 1))) for _ in range(501)]
    epochs: list[int] = []
    for _ in range(300):
        numbers.shuffle(lengths)
        batches = (lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size))
        epochs.append(sum(len(batch) * min(400, max(batch)) for batch in batches))
    mean = sum(epochs) / len(epochs)
    deviation = math.sqrt(sum((epoch - mean) ** 2 for epoch in epochs) / len(epochs))
    # five standard errors of the simulated mean
    assert abs(padded_tokens(histogram(lengths), batch_size, 400) - mean) <= 5 * deviation / math.sqrt(300) + 1e-6


@given(FEW)
def test_batches_of_one_are_not_padded(lengths: list[int]) -> None:
    assert math.isclose(padded_tokens(histogram(lengths), 1, 50), sum(lengths))


@given(FEW)
def test_one_batch_of_all_is_as_long_as_the_longest(lengths: list[int]) -> None:
    assert math.isclose(padded_tokens(histogram(lengths), 100, 50), len(lengths) * max(lengths))


@given(FEW, st.integers(1, 12), st.integers(1, 6))
def test_a_summary_keeps_the_mean_and_the_shares(lengths: list[int], batch_size: int, parts: int) -> None:
    full = batch_lengths(histogram(lengths), batch_size)
    few = summarized(full, parts)
    assert len(few) <= parts or few == full
    assert math.isclose(sum(share for _, share in few), 1, rel_tol=1e-9)
    assert math.isclose(mean_length(few), mean_length(full), rel_tol=1e-9)


@settings(max_examples=20)
@given(st.integers(1, 10_000))
def test_large_batches_of_many_examples(batch_size: int) -> None:
    """A million examples of 1 to 1,000 tokens, a thousand each: the longest is near the batch_size-th quantile."""
    lengths = batch_lengths([(length, 1000) for length in range(1, 1001)], batch_size)
    assert math.isclose(sum(share for _, share in lengths), 1, rel_tol=1e-9)
    assert abs(mean_length(lengths) - (1000 * batch_size / (batch_size + 1) + 0.5)) < 0.6

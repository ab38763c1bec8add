"""What a profile says of its lengths, against the plain list of them."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from planner.dataset.lengths import EXACT, LengthProfile, rounded, truncated


def profile(lengths: list[int]) -> LengthProfile:
    counts: dict[int, int] = {}
    for length in lengths:
        counts[rounded(length)] = counts.get(rounded(length), 0) + 1
    return LengthProfile(
        source="data.jsonl",
        histogram=tuple(sorted(counts.items())),
        tokens=sum(lengths),
        longest=max(lengths),
        layouts=(("text", len(lengths)),),
        counted="4 characters to a token",
        assumptions=(),
        skipped=(),
        unit="line",
    )


SOME = st.lists(st.integers(1, 500), min_size=1, max_size=60)


@given(SOME)
def test_counts_and_mean(lengths: list[int]) -> None:
    assert profile(lengths).examples == len(lengths)
    assert math.isclose(profile(lengths).mean, sum(lengths) / len(lengths))


@given(SOME, st.floats(0.5, 100))
def test_a_percentile_is_the_nearest_rank(lengths: list[int], percent: float) -> None:
    rank = max(1, math.ceil(percent / 100 * len(lengths)))
    assert profile(lengths).percentile(percent) == sorted(lengths)[rank - 1]


@given(SOME, st.integers(1, 600))
def test_truncation_is_what_lies_beyond_the_limit(lengths: list[int], limit: int) -> None:
    lost = profile(lengths).truncation(limit)
    assert lost.examples == sum(length > limit for length in lengths)
    assert lost.tokens == sum(max(0, length - limit) for length in lengths)
    assert profile(lengths).longest_batch(limit) == max(min(length, limit) for length in lengths)


@given(SOME, st.integers(1, 600))
def test_a_truncated_histogram_is_that_of_truncated_examples(lengths: list[int], limit: int) -> None:
    assert truncated(profile(lengths).histogram, limit) == list(profile([min(n, limit) for n in lengths]).histogram)


@given(st.integers(1, 2**40))
def test_long_lengths_are_rounded_up_a_little(length: int) -> None:
    assert length <= rounded(length) <= length * (1 + 1 / 4096)
    assert rounded(rounded(length)) == rounded(length)


def test_there_are_few_different_long_lengths() -> None:
    assert len({rounded(EXACT + step) for step in range(0, EXACT, 3)}) <= 4097


def test_what_a_few_huge_examples_lose_is_counted_from_the_exact_total() -> None:
    lengths = [10, 100_001, 3_000_001]
    assert profile(lengths).truncation(2048).tokens == 100_001 + 3_000_001 - 2 * 2048
    assert profile(lengths).percentile(100) == 3_000_001

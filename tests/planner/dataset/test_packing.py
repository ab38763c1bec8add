"""Packed sequences, against packing one example at a time."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.dataset.packing import bfd_sequences, wrapped_sequences


def best_fit_decreasing(lengths: list[int], sequence_length: int) -> int:
    """As TRL does it: longest first, each into the fullest sequence with room for it."""
    rooms: list[int] = []
    for length in sorted((min(length, sequence_length) for length in lengths), reverse=True):
        fitting = [(room, place) for place, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting)[1]] -= length
        else:
            rooms.append(sequence_length - length)
    return len(rooms)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=80), st.integers(1, 48))
def test_best_fit_decreasing_one_at_a_time(lengths: list[int], sequence_length: int) -> None:
    expected = best_fit_decreasing(lengths, sequence_length)
    assert bfd_sequences(sorted(Counter(lengths).items()), sequence_length) == expected


def test_four_examples_by_hand() -> None:
    """3 + 1, 3, and 2 tokens in sequences of 4 when kept whole; 4, 4 and 1 when cut anywhere."""
    assert bfd_sequences([(1, 1), (2, 1), (3, 2)], 4) == 3
    assert wrapped_sequences(9, 4) == 3


@pytest.mark.parametrize(("tokens", "sequences"), [(1, 1), (2048, 1), (2049, 2), (1_000_000, 489)])
def test_all_tokens_behind_each_other(tokens: int, sequences: int) -> None:
    assert wrapped_sequences(tokens, 2048) == sequences


def test_a_million_examples_of_many_lengths_are_packed_nearly_full() -> None:
    histogram = [(length, 500) for length in range(1, 2001)]
    tokens = sum(length * count for length, count in histogram)
    assert wrapped_sequences(tokens, 4096) <= bfd_sequences(histogram, 4096) <= wrapped_sequences(tokens, 4096) * 1.001

"""Polynomials of bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.tape import BATCH, ONE, SCORES, SEQUENCE, TOKENS, Size
from planner.tape.size import total

SIZES = st.builds(Size, *[st.integers(0, 2**40)] * 5)
LENGTHS = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("size", "rows"), [(ONE, 1), (BATCH, 3), (SEQUENCE, 7), (TOKENS, 21), (SCORES, 3 * 7 * 7)], ids=str
)
def test_each_term_at_3_sequences_of_7_tokens(size: Size, rows: int) -> None:
    assert size.at(3, 7) == rows


@given(SIZES, SIZES, LENGTHS, LENGTHS)
def test_a_sum_is_the_sum_everywhere(a: Size, b: Size, batch: int, sequence: int) -> None:
    expected = a.at(batch, sequence) + b.at(batch, sequence)
    assert a.plus(b).at(batch, sequence) == expected
    assert total([a, b]) == a.plus(b)


@given(SIZES, SIZES, LENGTHS, LENGTHS)
def test_what_dominates_is_nowhere_smaller(a: Size, b: Size, batch: int, sequence: int) -> None:
    larger = a.plus(b)
    assert larger.dominates(a)
    assert larger.at(batch, sequence) >= a.at(batch, sequence)

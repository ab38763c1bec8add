"""Solved limits against the definition: the largest that fits, and one more does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planner.memory.limits import largest_batch, longest_sequence
from planner.tape import Size

SIZES = st.lists(
    st.builds(
        Size,
        st.integers(0, 10**9),
        st.integers(0, 10**6),
        st.integers(0, 10**5),
        st.integers(1, 10**5),
        st.integers(0, 100),
    ),
    min_size=1,
    max_size=4,
)


def fits(sizes: list[Size], room: float, batch: int, sequence: int) -> bool:
    return all(size.at(batch, sequence) <= room for size in sizes)


@given(SIZES, st.integers(1, 10**12), st.integers(1, 10_000))
def test_the_largest_batch_fits_and_the_next_does_not(sizes: list[Size], room: int, sequence: int) -> None:
    batch = largest_batch(sizes, room, sequence)
    if batch is None:
        assert not fits(sizes, room, 1, sequence)
    else:
        assert fits(sizes, room, batch, sequence)
        assert not fits(sizes, room, batch + 1, sequence)


@given(SIZES, st.integers(1, 10**12), st.integers(1, 64))
def test_the_longest_sequence_fits_and_the_next_does_not(sizes: list[Size], room: int, batch: int) -> None:
    length = longest_sequence(sizes, room, batch)
    if length is None:
        assert not fits(sizes, room, batch, 1)
    else:
        assert fits(sizes, room * (1 + 1e-12), batch, length)
        assert not fits(sizes, room * (1 - 1e-12), batch, length + 1)


def test_a_size_that_does_not_grow_sets_no_limit_of_its_own() -> None:
    assert largest_batch([Size(constant=10)], 100, 5) is None
    assert largest_batch([Size(constant=10), Size(tokens=2)], 100, 5) == 10

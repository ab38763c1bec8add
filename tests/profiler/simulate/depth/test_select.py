"""Which layers are traced."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiler.simulate.depth.select import RADIUS, Selection, select

KINDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=24)


def neighbourhood(kinds: Sequence[str], layer: int) -> tuple[str, ...]:
    return tuple(kinds[at] if 0 <= at < len(kinds) else "end" for at in range(layer - RADIUS, layer + RADIUS + 1))


@pytest.mark.parametrize("depth", [5, 6, 32, 126])
def test_of_equal_layers_two_at_each_end_and_one_between_are_kept(depth: int) -> None:
    selection = select(["block"] * depth)
    assert len(selection.kept) == 5
    assert selection.stands_for == (0, 1, *[2] * (depth - 4), 3, 4)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_shallow_model_is_kept_whole(depth: int) -> None:
    assert select(["block"] * depth) == Selection(tuple(range(depth)), tuple(range(depth)))


def test_a_period_of_two_kinds_is_seen_twice() -> None:
    """Gemma 3: five layers with a window, one without, ten times and two more. What follows the one without is another
    neighbourhood within the model than at its end, so that two periods are the least that shows both."""
    kinds = (["window"] * 5 + ["full"]) * 10 + ["window"] * 2
    assert len(select(kinds).kept) == 2 * 6 + 2


def test_a_dense_layer_at_the_front_is_kept_beside_the_experts() -> None:
    """DeepSeek-V3: three dense layers, then experts."""
    kinds = ["dense"] * 3 + ["experts"] * 58
    selection = select(kinds)
    assert selection.kept[:3] == (0, 1, 2)
    assert len(selection.kept) == 3 + 5


@given(KINDS)
def test_what_stands_for_a_layer_has_its_neighbourhood_in_the_model_and_among_the_kept(kinds: list[str]) -> None:
    selection = select(kinds)
    kept = [kinds[layer] for layer in selection.kept]
    for layer, position in enumerate(selection.stands_for):
        assert neighbourhood(kinds, layer) == neighbourhood(kinds, selection.kept[position])
        assert neighbourhood(kinds, layer) == neighbourhood(kept, position)


@given(KINDS)
def test_a_kept_layer_stands_for_itself(kinds: list[str]) -> None:
    selection = select(kinds)
    assert [selection.stands_for[layer] for layer in selection.kept] == list(range(len(selection.kept)))


@given(KINDS)
def test_layers_are_kept_in_their_order_and_some_for_each_neighbourhood(kinds: list[str]) -> None:
    selection = select(kinds)
    assert list(selection.kept) == sorted(set(selection.kept))
    assert set(selection.kept) <= set(range(len(kinds)))
    assert len(selection.kept) >= len({neighbourhood(kinds, layer) for layer in range(len(kinds))})


@given(st.lists(st.sampled_from("ab"), min_size=1, max_size=4), st.integers(3, 12))
def test_a_longer_model_of_the_same_period_needs_no_more_layers(period: list[str], times: int) -> None:
    assert len(select(period * times).kept) == len(select(period * 30).kept) or times < 5

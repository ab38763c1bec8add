"""Slices: which layers stand for all, and the line through two of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from planner.errors import Abstention
from planner.memory.ledger import COMPONENTS, Instant, Levels
from profiler.measure.passes import Passes
from profiler.measure.slices import (
    LEAST,
    Depths,
    depths_of,
    depths_of_kinds,
    no_slices,
    places_at_whole,
    reserved_at_whole,
    samples_at_whole,
)
from profiler.measure.types import StepSample
from profiler.simulate import stack
from profiler.simulate.ledger import Place
from tests.profiler.measure.small import LLAMA, of_config, run_of


@pytest.mark.parametrize(
    ("kinds", "depths"),
    [
        ("aaaaaaaaaaaa", (2, 3)),
        ("aaa", (2, 3)),
        ("aa", None),
        ("a", None),
        ("", None),
        ("abababababab", (2, 4)),  # sliding windows in every other layer
        ("ababababab", (2, 4)),
        ("abababa", (3, 5)),
        ("aaabaaabaaab", (4, 8)),
        ("aaaaabaaaaab", (6, 12)),
        ("baaaaaaaaaaa", (2, 3)),  # the first is dense
        ("bbbaaaaaaaaa", (4, 5)),
        ("aaaaaaaaaaab", None),
        ("abcdefgh", None),
        ("aabbaabbaabb", (4, 8)),
        ("cababababab", (3, 5)),
    ],
)
def test_depths(kinds: str, depths: tuple[int, int] | None) -> None:
    found = depths_of_kinds(kinds)
    assert found == (None if depths is None else (*depths, len(kinds)))


@pytest.mark.parametrize(
    ("kinds", "every", "depths"),
    [
        ("aaaaaaaaaaaa", 2, (2, 4)),
        ("aaaaaaaaaaaaa", 2, (3, 5)),  # 13 = 3 + 5 * 2
        ("aaaaaaaaaaaa", 3, (3, 6)),
        ("abababababab", 3, (6, 12)),
        ("abababababab", 4, (4, 8)),
        ("aaaa", 4, None),
        ("aaaaaaaa", 4, (4, 8)),
    ],
)
def test_depths_where_every_few_layers_are_checkpointed(kinds: str, every: int, depths: tuple[int, int] | None) -> None:
    found = depths_of_kinds(kinds, every)
    assert found == (None if depths is None else (*depths, len(kinds)))


patterns = st.tuples(
    st.lists(st.sampled_from("xyz"), max_size=3),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.integers(1, 10),
    st.lists(st.sampled_from("ab"), max_size=2),
).map(lambda parts: [*parts[0], *parts[1] * parts[2], *parts[3]])


@given(patterns, st.integers(1, 4))
def test_the_whole_is_the_small_slice_and_whole_turns(kinds: list[str], every: int) -> None:
    found = depths_of_kinds(kinds, every)
    assume(found is not None)
    assert found is not None
    turn = found.large - found.small
    assert turn > 0 and turn % every == 0
    assert LEAST <= found.small < found.large <= found.whole == len(kinds)
    assert (found.whole - found.small) % turn == 0
    more = (found.whole - found.small) // turn
    # what the large slice has besides, so many times more, is what the model has besides
    assert kinds == kinds[: found.small] + kinds[found.small : found.large] * more
    # each model ends as the whole one does, and their layers are numbered alike within a turn
    for depth in (found.small, found.large):
        assert kinds[:depth][-turn:] == kinds[-min(turn, depth) :]
        assert (found.whole - depth) % every == 0


@given(patterns, st.integers(1, 3))
def test_smaller_slices_of_that_kind_there_are_not(kinds: list[str], every: int) -> None:
    """Every pair of depths is tried that the rule would allow."""
    found = depths_of_kinds(kinds, every)
    allowed = [
        large
        for large in range(1, len(kinds) + 1)
        for small in range(LEAST, large)
        if (large - small) % every == 0
        and large - small <= small  # the small one has a turn already
        and (len(kinds) - small) % (large - small) == 0
        and kinds[2 * small - large : small + len(kinds) - large] == kinds[small:]
    ]
    assert (found.large if found else None) == min(allowed, default=None)


# the runs of models

DENSE_FIRST = {
    "model_type": "qwen3_moe",
    "head_dim": 8,
    "num_hidden_layers": 8,
    "num_experts": 4,
    "mlp_only_layers": [0],
}


@pytest.mark.parametrize(
    ("config", "fields", "depths"),
    [
        ({"num_hidden_layers": 12}, {}, (2, 3, 12)),
        ({"num_hidden_layers": 4}, {"checkpoint_every": 2}, None),  # a slice of all four
        ({"num_hidden_layers": 8}, {"checkpoint_every": 2}, (2, 4, 8)),
        ({"num_hidden_layers": 8}, {"checkpoint_every": 2, "gradient_checkpointing": False}, (2, 3, 8)),
        ({"num_hidden_layers": 8}, {"method": "qlora"}, (2, 3, 8)),
        ({"num_hidden_layers": 3}, {}, None),
        ({"model_type": "gemma2", "head_dim": 8, "num_hidden_layers": 8, "sliding_window": 8}, {}, (2, 4, 8)),
        (DENSE_FIRST, {"target_modules": ("q_proj",)}, (2, 3, 8)),
    ],
    ids=str,
)
def test_slices_of_a_model(config: dict[str, Any], fields: dict[str, Any], depths: tuple[int, ...] | None) -> None:
    whole = LLAMA | config
    if "checkpoint_every" in fields and fields.get("gradient_checkpointing") is False:
        fields = {name: value for name, value in fields.items() if name != "checkpoint_every"}
    given = {"gradient_checkpointing": True} | fields
    with stack.quiet():
        assert depths_of(run_of(whole, rank=4, **given), of_config(whole)) == depths


def test_a_model_without_slices_is_told_what_to_do() -> None:
    error = no_slices(24)
    assert isinstance(error, Abstention)
    assert str(error).startswith("its 24 layers do not repeat")
    assert error.way_out == "measure the whole model, or simulate it"


# the line

sizes = st.integers(0, 10**12)
PLACE = Place("backward", "first", False)
HEAD = Place("head", "", False)


def passes(live: dict[Place, dict[str, int]], counted: dict[Place, dict[str, int]] | None = None) -> Passes:
    def instants(of: dict[Place, dict[str, int]]) -> dict[Place, Instant]:
        return {
            place: Instant("last_backward_block", dict.fromkeys(COMPONENTS, 0) | components)
            for place, components in of.items()
        }

    return Passes(
        places=instants(counted if counted is not None else live),
        live=instants(live),
        levels=(),
        peak=Levels(0, 0, None),
        samples=(),
        retries=0,
        loss=None,
        finite=True,
        total=0,
        trainable=0,
    )


depths_strategy = st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(1, 60)).map(
    lambda parts: Depths(parts[0], parts[0] + parts[1], parts[0] + parts[1] * parts[2])
)
affine = st.fixed_dictionaries({name: st.tuples(sizes, st.integers(0, 10**10)) for name in COMPONENTS})


@given(depths_strategy, affine)
def test_what_grows_with_every_layer_alike_is_exact(depths: Depths, figures: dict[str, tuple[int, int]]) -> None:
    def at(layers: int) -> dict[str, int]:
        return {name: fixed + layers * each for name, (fixed, each) in figures.items()}

    found = places_at_whole(depths, passes({PLACE: at(depths.small)}), passes({PLACE: at(depths.large)}))
    assert found[PLACE].components == pytest.approx(at(depths.whole), rel=1e-12)
    assert found[PLACE].name == "last_backward_block"


def test_by_hand() -> None:
    """100 bytes and 10 for each layer, of which 2 and 3 are measured: 420 at 32. The allocator rounds by 7 there."""
    small, large = {"base_weights": 120}, {"base_weights": 130}
    counted = {"base_weights": 130, "temporaries": 7}
    found = places_at_whole(
        Depths(2, 3, 32), passes({HEAD: small}, {HEAD: {"temporaries": 99}}), passes({HEAD: large}, {HEAD: counted})
    )
    assert {name: size for name, size in found[HEAD].components.items() if size} == {
        "base_weights": 420,
        "temporaries": 7,
    }


def test_a_place_that_one_slice_has_not_is_left_out() -> None:
    """Two layers have none between them."""
    small, large = passes({HEAD: {}}), passes({HEAD: {}, PLACE: {}})
    assert places_at_whole(Depths(2, 3, 9), small, large).keys() == {HEAD}


@given(depths_strategy, sizes, sizes)
def test_bytes_are_never_below_none(depths: Depths, small: int, large: int) -> None:
    assert depths.bytes_at_whole(small, large) >= 0
    assert depths.bytes_at_whole(small, small) == small


@given(depths_strategy, sizes, sizes)
def test_the_line_goes_through_both_slices(depths: Depths, small: int, large: int) -> None:
    at_large = Depths(depths.small, depths.large, depths.large)
    assert at_large.at_whole(small, large) == pytest.approx(large)


def test_reserved_is_what_lies_beside_live_tensors() -> None:
    large = passes({})
    object.__setattr__(large, "peak", Levels(1000, 1300, None))
    assert reserved_at_whole(5000, large) == 5300
    object.__setattr__(large, "peak", Levels(1000, 900, None))
    assert reserved_at_whole(5000, large) == 5000


seconds = st.floats(0, 100)
samples = st.builds(StepSample, seconds, seconds, seconds, seconds)


@given(depths_strategy, st.lists(samples, max_size=8), st.lists(samples, max_size=8))
def test_times_are_never_below_those_of_the_small_slice(
    depths: Depths, small: Sequence[StepSample], large: Sequence[StepSample]
) -> None:
    found = samples_at_whole(depths, small, large)
    assert len(found) == min(len(small), len(large))
    for sample, least in zip(found, sorted(small, key=lambda sample: sample.step_s), strict=False):
        for name in ("step_s", "forward_s", "backward_s", "optimizer_s"):
            assert getattr(sample, name) >= getattr(least, name) * (1 - 1e-9) >= 0


def test_times_by_hand() -> None:
    """The fastest with the fastest: 2 s and 2.5 s at two and three layers are 7 s at twelve."""
    small = [StepSample(3.0, 1.0, 1.5, 0.5), StepSample(2.0, 0.5, 1.0, 0.5)]
    large = [StepSample(2.5, 0.75, 1.25, 0.5), StepSample(4.0, 1.5, 2.0, 0.5)]
    assert samples_at_whole(Depths(2, 3, 12), small, large) == (
        StepSample(7.0, 3.0, 3.5, 0.5),
        StepSample(13.0, 6.0, 6.5, 0.5),
    )

"""Ledgers side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.memory.ledger import Instant, Ledgers, Levels
from profiler.reconcile import reconcile, without_runtime


def ledgers(basis: str, *instants: Instant, reserved: int = 0, process: int | None = None) -> Ledgers:
    """Ledgers that peak at the largest of the instants."""
    peak = max(instants, key=lambda instant: instant.allocated_bytes)
    levels = Levels(peak.allocated_bytes, reserved or peak.allocated_bytes, process)
    return Ledgers(peak_bytes=levels, instant=peak.name, basis=basis, instants=instants)


ESTIMATE = ledgers(
    "formula",
    Instant("load", {"base_weights": 1000}),
    Instant("loss", {"base_weights": 1000, "logits_and_loss": 300, "temporaries": 0}),
    reserved=1500,
    process=2000,
)
SIMULATION = ledgers(
    "simulation",
    Instant("loss", {"base_weights": 1000, "logits_and_loss": 400, "buffers": 20}),
    Instant("optimizer_step", {"base_weights": 1000, "temporaries": 10}),
    reserved=1600,
)


def test_differences_are_the_earlier_less_the_later() -> None:
    reserved = reconcile([ESTIMATE, SIMULATION]).levels[1]
    assert reserved.name == "reserved"
    assert reserved.bytes == (1500, 1600)
    assert reserved.differences == (-100,)
    assert reserved.relative == (-100 / 1600,)


def test_what_one_side_does_not_know_is_none_and_stays() -> None:
    both = reconcile([ESTIMATE, SIMULATION])
    assert [instant.name for instant in both.instants] == ["load", "loss", "optimizer_step"]
    load, loss, step = both.instants
    assert load.allocated.bytes == (1000, None)
    assert load.allocated.differences == (None,)
    assert step.allocated.bytes == (None, 1010)
    assert {line.name: line.bytes for line in loss.components} == {
        "base_weights": (1000, 1000),
        "logits_and_loss": (300, 400),
        "temporaries": (0, None),
        "buffers": (None, 20),
    }
    assert both.levels[2].bytes == (2000, None)
    assert both.levels[2].relative == (None,)


def test_the_peak_is_that_of_the_last_column() -> None:
    step = ledgers("simulation", Instant("loss", {"base_weights": 1}), Instant("optimizer_step", {"base_weights": 2}))
    both = reconcile([ESTIMATE, step])
    assert both.peaks == ("loss", "optimizer_step")
    assert both.peak is not None
    assert both.peak.allocated.bytes == (None, 2)


def test_three_columns_are_held_to_the_measurement() -> None:
    measured = ledgers("measurement", Instant("loss", {"base_weights": 1500}))
    line = reconcile([ESTIMATE, SIMULATION, measured]).levels[0]
    assert line.bytes == (1300, 1420, 1500)
    assert line.differences == (-200, -80)


def test_one_column_alone_has_no_differences_and_none_is_an_error() -> None:
    alone = reconcile([SIMULATION])
    assert alone.levels[0].differences == ()
    with pytest.raises(ValueError, match="nothing to reconcile"):
        reconcile([])


def test_relative_to_nothing_is_not_known() -> None:
    nothing = ledgers("simulation", Instant("loss", {"base_weights": 1000, "logits_and_loss": 0, "temporaries": 0}))
    lines = {line.name: line for line in reconcile([ESTIMATE, nothing]).instants[1].components}
    assert lines["logits_and_loss"].differences == (300,)
    assert lines["logits_and_loss"].relative == (None,)
    assert lines["temporaries"].relative == (0.0,)


names = st.sampled_from(["load", "end_of_forward", "loss", "optimizer_step", "evaluation", "other"])
components = st.dictionaries(st.sampled_from(["base_weights", "gradients", "runtime", "x"]), st.integers(0, 10**12))


@given(
    st.lists(
        st.dictionaries(names, components, min_size=1).map(
            lambda columns: ledgers("formula", *(Instant(name, sizes) for name, sizes in columns.items()))
        ),
        min_size=2,
        max_size=3,
    )
)
def test_nothing_is_lost_and_components_add_up(columns: list[Ledgers]) -> None:
    result = reconcile(columns)
    for place, column in enumerate(columns):
        kept = {at.name: at for at in result.instants}
        assert [name for name in kept if kept[name].allocated.bytes[place] is not None] or not column.instants
        for instant in column.instants:
            assert kept[instant.name].allocated.bytes[place] == instant.allocated_bytes
            assert {
                line.name: line.bytes[place] for line in kept[instant.name].components if line.bytes[place] is not None
            } == instant.components
    assert [at.name for at in result.instants if at.allocated.bytes[-1] is not None] == [
        instant.name for instant in columns[-1].instants
    ]


def test_without_runtime_every_instant_and_level_lacks_the_workspaces() -> None:
    estimate = ledgers(
        "formula",
        Instant("load", {"base_weights": 1000, "temporaries": 350, "runtime": 0}),
        Instant("loss", {"base_weights": 1000, "logits_and_loss": 300, "runtime": 160}),
        reserved=1600,
        process=2000,
    )
    alone = without_runtime(estimate)
    assert [at.components for at in alone.instants] == [
        {"base_weights": 1000, "temporaries": 350},
        {"base_weights": 1000, "logits_and_loss": 300},
    ]
    # 1600 - 160; the process has the context of a card; loading, 1350, is above the loss, 1300
    assert alone.peak_bytes == Levels(1350, 1440, None)
    assert alone.instant == "load"
    assert alone.basis == "formula"


def test_without_runtime_nothing_changes_where_there_is_none() -> None:
    alone = without_runtime(SIMULATION)
    assert alone.instants == SIMULATION.instants
    assert (alone.peak_bytes.allocated, alone.peak_bytes.reserved) == (1420, 1600)

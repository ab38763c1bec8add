"""The table of an estimate beside a simulation."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from planner.memory.ledger import COMPONENTS, Instant, Ledgers, Levels
from planner.units import GIB, MIB
from profiler.reconcile import reconcile
from reports.components import INSTANTS
from reports.page import Page
from reports.reconciliation import reconciliation_section
from tests.reports.simulations import that_fits


def ledgers(basis: str, instants: dict[str, dict[str, int]]) -> Ledgers:
    made = tuple(Instant(name, sizes) for name, sizes in instants.items())
    peak = max(made, key=lambda instant: instant.allocated_bytes)
    levels = Levels(peak.allocated_bytes, peak.allocated_bytes + GIB, None)
    return Ledgers(peak_bytes=levels, instant=peak.name, basis=basis, instants=made)


def row(lines: list[str], label: str) -> list[str]:
    """The cells of the one row with this label."""
    (line,) = [line for line in lines if line.strip().startswith(label + "  ")]
    return line.strip().removeprefix(label).split()


def test_a_row_says_both_and_how_far_the_estimate_is_off() -> None:
    estimate = ledgers("formula", {"loss": {"base_weights": 10 * GIB, "temporaries": 2 * GIB}})
    simulation = ledgers("simulation", {"loss": {"base_weights": 10 * GIB, "temporaries": 3 * GIB}})
    lines = reconciliation_section(reconcile([estimate, simulation]), Page())
    assert row(lines, "base weights") == ["10.00", "10.00", "0", "0%"]
    assert row(lines, "temporaries") == ["2.00", "3.00", "-1.00", "-33.3%", "!"]
    assert row(lines, "reserved") == ["13.00", "14.00", "-1.00", "-7.1%", "!"]
    assert any("difference: estimate - simulation" in line for line in lines)


def test_a_component_of_one_side_is_shown_and_marked_where_it_is_large() -> None:
    estimate = ledgers("formula", {"loss": {"base_weights": 10 * GIB}})
    simulation = ledgers("simulation", {"loss": {"base_weights": 10 * GIB, "buffers": 2 * GIB}})
    lines = reconciliation_section(reconcile([estimate, simulation]), Page())
    assert row(lines, "buffers") == ["–", "2.00", "–", "–", "!"]


def test_an_instant_of_one_side_is_shown_and_not_marked() -> None:
    estimate = ledgers("formula", {"loss": {"base_weights": 10 * GIB}, "evaluation": {"base_weights": 9 * GIB}})
    simulation = ledgers("simulation", {"loss": {"base_weights": 10 * GIB}})
    lines = reconciliation_section(reconcile([estimate, simulation]), Page())
    assert row(lines, "evaluation") == ["9.00", "–", "–", "–"]


def test_it_says_where_the_estimate_has_its_peak_when_that_is_another_instant() -> None:
    simulation, plan = that_fits()
    moved = replace(plan.memory, instant="load")
    text = " ".join(" ".join(reconciliation_section(reconcile([moved, simulation.memory]), Page())).split())
    assert "the estimate's peak is at load" in text


def test_alone_with_a_note() -> None:
    lines = reconciliation_section(reconcile([that_fits()[0].memory]), Page(), note="No estimate: no formulas")
    assert lines[0] == "Simulation, in GiB"
    assert lines[-1] == "  No estimate: no formulas"
    assert row(lines, "logits and loss") == ["3.85"]


def test_three_columns_on_one_page() -> None:
    simulation, plan = that_fits()
    measured = replace(simulation.memory, basis="measurement")
    lines = reconciliation_section(reconcile([plan.memory, simulation.memory, measured]), Page())
    assert lines[0] == "Estimate and simulation beside measurement, in GiB"
    assert row(lines, "allocated")[:3] == ["44.36", "45.22", "45.22"]


def test_colour_adds_nothing_but_escapes() -> None:
    simulation, plan = that_fits()
    result = reconcile([plan.memory, simulation.memory])
    coloured = reconciliation_section(result, Page(colour=True))
    assert "\x1b[33m" in "".join(coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == reconciliation_section(result, Page())


component_names = st.sampled_from([*COMPONENTS, "buffers"]) | st.text(max_size=60).filter(str.isprintable)
instant_names = st.sampled_from([*INSTANTS, "sync"]) | st.text("abc_", min_size=1, max_size=60)
any_ledgers = st.builds(
    ledgers,
    st.sampled_from(["formula", "simulation", "measurement", "something_else"]),
    st.dictionaries(
        instant_names, st.dictionaries(component_names, st.integers(0, 2**60), max_size=9), min_size=1, max_size=9
    ),
)


@given(st.lists(any_ledgers, min_size=1, max_size=3), st.integers(40, 100), st.booleans())
def test_no_line_is_wider_than_the_page(columns: list[Ledgers], width: int, unicode: bool) -> None:
    page = Page(width, unicode=unicode)
    lines = reconciliation_section(reconcile(columns), page)
    assert max(map(len, page.finish(lines).split("\n"))) <= width


def test_three_columns_have_their_shares_within_80_columns() -> None:
    simulation, plan = that_fits()
    measured = replace(simulation.memory, basis="measurement")
    lines = reconciliation_section(reconcile([plan.memory, simulation.memory, measured]), Page())
    assert lines[1].split() == ["est.", "sim.", "meas.", "est.", "-", "meas.", "sim.", "-", "meas."]
    assert row(lines, "allocated") == ["44.36", "45.22", "45.22", "-0.86", "-1.9%", "0", "0%", "!"]


def test_what_is_less_than_a_gib_is_in_mib() -> None:
    estimate = ledgers("formula", {"loss": {"base_weights": 100 * MIB}})
    simulation = ledgers("simulation", {"loss": {"base_weights": 98 * MIB}})
    lines = reconciliation_section(reconcile([estimate, simulation]), Page())
    assert lines[0] == "Estimate beside simulation, in MiB"
    assert row(lines, "base weights") == ["100.00", "98.00", "+2.00", "+2.0%", "!"]

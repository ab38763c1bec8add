"""The terminal view of a simulation against golden files, and what holds of it at any width."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from reports.page import Page
from reports.simulation import simulation_text
from tests.reports.simulations import SIMULATIONS, that_does_not_fit, that_fits

ABSTAINED = "there are no activation formulas for NemotronH"


def text_of(name: str, page: Page) -> str:
    simulation, estimate = SIMULATIONS[name]()
    return simulation_text(simulation, estimate, None, page)


@pytest.mark.parametrize("name", SIMULATIONS)
def test_the_view_at_80_columns(name: str, golden: Callable[[str, str], None]) -> None:
    golden(text_of(name, Page()), f"simulation_{name}.txt")


def test_the_view_on_a_narrow_page_in_ascii(golden: Callable[[str, str], None]) -> None:
    text = text_of("does_not_fit", Page(40, unicode=False))
    assert text.isascii()
    golden(text, "simulation_narrow_ascii.txt")


def test_without_an_estimate_the_simulation_stands_alone(golden: Callable[[str, str], None]) -> None:
    golden(simulation_text(that_fits()[0], None, ABSTAINED, Page()), "simulation_abstained.txt")


def test_the_plain_ledger() -> None:
    simulation, estimate = that_fits()
    text = simulation_text(simulation, estimate, None, Page(), reconcile=False)
    assert "Allocated at each instant" in text
    assert "estimate" not in text


def test_the_failed_allocation_comes_right_after_the_verdict() -> None:
    first, *rest = text_of("does_not_fit", Page(100)).splitlines()
    assert first.startswith("DOES NOT FIT   Mistral-7B")
    assert " ".join(" ".join(rest[:2]).split()) == (
        "out of memory at step 1, last backward block, in model.layers.31 (aten.mm.default): 112.0 MiB asked "
        "for, 81.9 MiB of 14.3 GiB free (14.0 GiB live, 0.17 GiB cached in pieces too small)"
    )


def test_out_of_memory_while_loading() -> None:
    simulation, _ = that_does_not_fit()
    assert simulation.out_of_memory
    failed = replace(simulation.out_of_memory, step=0, instant="load", module="", operator="")
    text = simulation_text(replace(simulation, out_of_memory=failed), None, None, Page(100))
    assert "out of memory while loading: 112.0 MiB asked for" in text


def test_an_estimate_with_another_verdict_stands_out() -> None:
    simulation, estimate = that_fits()
    text = simulation_text(simulation, replace(estimate, verdict="tight"), None, Page(colour=True))
    assert "\x1b[33m  estimate: tight, 45.6 GiB (42.8–48.3) reserved, 2.7% less than simulated" in text


@pytest.mark.parametrize("name", SIMULATIONS)
@pytest.mark.parametrize("width", [40, 52, 64, 80, 100])
@pytest.mark.parametrize("reconcile", [True, False])
@pytest.mark.parametrize("abstained", [None, ABSTAINED])
def test_no_line_is_wider_than_the_page(name: str, width: int, reconcile: bool, abstained: str | None) -> None:
    simulation, estimate = SIMULATIONS[name]()
    text = simulation_text(simulation, None if abstained else estimate, abstained, Page(width), reconcile=reconcile)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", SIMULATIONS)
def test_colour_adds_nothing_but_escapes(name: str) -> None:
    coloured = text_of(name, Page(colour=True))
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == text_of(name, Page()).splitlines()

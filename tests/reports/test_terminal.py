"""The terminal view against golden files, and what holds of it at any width."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from reports.page import Page
from reports.terminal import plan_text
from tests.reports.samples import full_that_does_not_fit, lora_without_a_card, qlora_that_fits

PLANS = {
    "fits": (qlora_that_fits(), ()),
    "does_not_fit": full_that_does_not_fit(),
    "no_card": (lora_without_a_card(), ()),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_view_at_80_columns(name: str, golden: Callable[[str, str], None]) -> None:
    golden(plan_text(*PLANS[name], Page()), f"{name}.txt")


def test_the_view_in_ascii(golden: Callable[[str, str], None]) -> None:
    text = plan_text(*PLANS["fits"], Page(unicode=False))
    assert text.isascii()
    golden(text, "fits_ascii.txt")


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("width", [80, 100])
def test_no_line_is_wider_than_the_page(name: str, width: int) -> None:
    assert max(map(len, plan_text(*PLANS[name], Page(width)).splitlines())) <= width


@pytest.mark.parametrize("name", PLANS)
def test_colour_adds_nothing_but_escapes(name: str) -> None:
    coloured = plan_text(*PLANS[name], Page(colour=True))
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    # a styled line may keep spaces in front of the escape that ends it
    assert [line.rstrip() for line in plain.splitlines()] == plan_text(*PLANS[name], Page()).splitlines()


def test_the_verdict_comes_first_and_then_what_makes_it_fit() -> None:
    text = plan_text(*PLANS["does_not_fit"], Page())
    assert text.startswith("DOES NOT FIT")
    assert text.index("What makes it fit") < text.index("Helps, but is not enough alone")
    assert text.index("Helps, but is not enough alone") < text.index("Where it goes")


def test_marks_tell_the_components_of_a_bar_apart() -> None:
    for page in (Page(), Page(unicode=False)):
        legend = re.findall(r"(\S) [a-zA-Z' ]+ +<?[\d.]+ GiB +<?\d+%", plan_text(*PLANS["fits"], page))
        assert len(legend) == len(set(legend)) == 8

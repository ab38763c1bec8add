"""What is billed of a duration."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from pricing.billing import MOST_HOURS, billed_in_words, billed_seconds, exact_seconds
from pricing.providers import Provider, find_provider


def a_provider(unit: int | None, least: int | None = None) -> Provider:
    aws = find_provider("aws")
    assert aws is not None
    return replace(aws, billing_seconds=unit, minimum_seconds=least)


def test_the_error_of_a_float_is_no_second_more() -> None:
    assert 1.1 * 3600 > 3960
    assert exact_seconds(1.1) == 3960
    assert exact_seconds(6) == 21600


@pytest.mark.parametrize("hours", [-0.1, math.nan, math.inf, 2 * MOST_HOURS])
def test_no_duration_has_no_price(hours: float) -> None:
    with pytest.raises(InputError, match="give a number of hours"):
        exact_seconds(hours)


@pytest.mark.parametrize(
    ("unit", "least", "held", "billed"),
    [
        (1, 60, "30", 60),
        (1, 60, "61.2", 62),
        (60, None, "61", 120),
        (60, None, "120", 120),
        (3600, None, "3600.001", 7200),
        (1, None, "0", 0),
    ],
)
def test_time_is_rounded_up_to_the_providers_unit(unit: int, least: int | None, held: str, billed: int) -> None:
    assert billed_seconds(Decimal(held), a_provider(unit, least)) == billed


def test_a_unit_that_is_not_known_is_said_to_be() -> None:
    held = Decimal("12.345")
    assert billed_seconds(held, None) == billed_seconds(held, a_provider(None)) == held
    assert "not known" in billed_in_words(None)
    assert "not known" in billed_in_words(a_provider(None))
    assert billed_in_words(a_provider(1, 60)) == "billed by the second, 60 s at least"
    assert billed_in_words(a_provider(3600)) == "billed by the hour"


@given(st.floats(0, 1e6), st.sampled_from([1, 60, 3600]), st.sampled_from([None, 60, 3600]))
def test_no_less_is_billed_than_is_held(hours: float, unit: int, least: int | None) -> None:
    held = exact_seconds(hours)
    billed = billed_seconds(held, a_provider(unit, least))
    assert held <= billed < held + unit + (least or 0)
    assert billed % unit == 0 or billed == least

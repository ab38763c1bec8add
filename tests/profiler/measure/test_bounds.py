"""Bounds of a measurement: which bites, and what is no bound."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from profiler.measure.bounds import WARM_UP, Bounds, check_usd


def test_without_options_a_rented_card_is_held_for_minutes() -> None:
    bounds = Bounds()
    assert (bounds.max_steps, bounds.seconds) == (10, 300)
    assert bounds.seconds_option == "--max-seconds"


def test_dollars_buy_seconds_at_the_price() -> None:
    bounds = Bounds(max_usd=Decimal("0.05"), usd_per_hour=Decimal("2.50"))
    assert bounds.seconds == 72  # 0.05 / 2.50 of 3600 s
    assert bounds.seconds_option == "--max-usd"


def test_dollars_that_buy_more_than_the_seconds_do_not_bite() -> None:
    bounds = Bounds(max_seconds=90, max_usd=Decimal(5), usd_per_hour=Decimal(2))
    assert (bounds.seconds, bounds.seconds_option) == (90, "--max-seconds")


def test_two_steps_warm_up_and_one_would_not_do() -> None:
    assert Bounds(max_steps=WARM_UP).max_steps == 2
    with pytest.raises(InputError, match=r"--max-steps must be a whole number from 2 \(both warm up"):
        Bounds(max_steps=1)


@given(
    st.floats(min_value=0.01, max_value=86_400),
    st.decimals(min_value="0.01", max_value=1000, places=2),
    st.decimals(min_value="0.01", max_value=1000, places=2),
)
def test_neither_bound_is_passed(seconds: float, usd: Decimal, price: Decimal) -> None:
    bounds = Bounds(max_seconds=seconds, max_usd=usd, usd_per_hour=price)
    assert bounds.seconds <= seconds
    assert float(price) * bounds.seconds / 3600 <= float(usd) * (1 + 1e-12)


def test_dollars_need_a_price() -> None:
    with pytest.raises(InputError, match=r"--max-usd needs the price .*--usd-per-hour") as caught:
        Bounds(max_usd=Decimal(1))
    assert caught.value.field == "max_usd"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("max_steps", steps) for steps in (0, 1, -1, 10_001, True, 2.0)),
        *(("max_seconds", seconds) for seconds in (0.0, -1.0, float("nan"), float("inf"), 1e9)),
        *(("max_usd", Decimal(usd)) for usd in ("0", "-1", "NaN", "sNaN", "Infinity", "1e7")),
        *(("usd_per_hour", Decimal(usd)) for usd in ("0", "-1", "NaN", "sNaN", "-Infinity", "1e7")),
    ],
)
def test_what_is_no_bound_is_refused(field: str, value: object) -> None:
    given: dict[str, Any] = {"max_usd": Decimal(1), "usd_per_hour": Decimal(1), field: value}
    with pytest.raises(InputError) as caught:
        Bounds(**given)
    assert caught.value.field == field
    assert str(value) in str(caught.value)


def test_an_amount_is_checked_by_itself_where_a_machine_is_rented() -> None:
    check_usd(Decimal("0.01"), "--max-usd")
    with pytest.raises(InputError, match=r"--usd-per-hour must be more than \$0") as caught:
        check_usd(Decimal("NaN"), "--usd-per-hour")
    assert caught.value.field == "usd_per_hour"

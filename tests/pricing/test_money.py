"""Cents."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing.money import cents, plain


@pytest.mark.parametrize(
    ("exact", "rounded"),
    [("4.74", "4.74"), ("0.005", "0.00"), ("0.015", "0.02"), ("0.025", "0.02"), ("0.0250001", "0.03")],
)
def test_half_a_cent_goes_to_the_even_one(exact: str, rounded: str) -> None:
    assert str(cents(Decimal(exact))) == rounded


@pytest.mark.parametrize(
    ("price", "text"), [("0.79", "0.79"), ("32", "32.00"), ("21.6", "21.60"), ("21.957642", "21.957642")]
)
def test_a_price_is_shown_as_its_source_has_it(price: str, text: str) -> None:
    assert plain(Decimal(price)) == text

"""The articles' own arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest

from profiler.claims import read_claims
from profiler.claims.product import product_of
from tests.profiler.claims.claims import claimed


@pytest.mark.parametrize(
    ("text", "hours", "price", "said"),
    [
        ("4.74", "6", "0.79", "6 h x 0.79 USD is 4.74 USD."),
        ("35.52", "24", "1.48", "24 h x 1.48 USD is 35.52 USD."),
        ("86.40", "4", "21.60", "4 h x 21.60 USD is 86.40 USD."),
        ("320", "10", "32", "10 h x 32.00 USD is 320 USD."),
        ("3.33", "3", "1.111", "3 h x 1.11 USD is 3.33 USD."),  # 3.333, rounded to cents
    ],
)
def test_a_product_that_is_right(text: str, hours: str, price: str, said: str) -> None:
    found = product_of(claimed("cost", text, "USD", hours=Decimal(hours), usd_per_hour=Decimal(price)))
    assert found is not None and found.holds
    assert found.why == said


def test_a_product_that_is_wrong_is_named() -> None:
    found = product_of(claimed("cost", "30", "USD", hours=Decimal(24), usd_per_hour=Decimal("1.48")))
    assert found is not None and not found.holds
    assert found.why == "24 h x 1.48 USD is 35.52 USD, not 30."


def test_without_a_price_it_is_what_an_hour_would_cost() -> None:
    found = product_of(claimed("cost", "3", "USD", about=True, hours=Decimal(4)))
    assert found is not None and found.why == "Over 4 hours that is 0.68 to 0.82 USD an hour."


def test_what_was_not_computed_has_no_product() -> None:
    assert product_of(claimed("cost", "26", "USD")) is None
    assert product_of(claimed("hours", "4", "h")) is None


def test_all_products_of_the_file_are_right() -> None:
    products = {claim.figure.text: product_of(claim) for claim in read_claims() if claim.usd_per_hour and claim.figure}
    assert set(products) == {"6", "4.74", "35.52", "21.42", "86.40", "9.52", "320"}
    assert all(product is None or product.holds for product in products.values())

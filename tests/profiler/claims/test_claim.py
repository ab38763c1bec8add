"""The file of claims, and what a figure in it says."""

from __future__ import annotations

import csv
from decimal import Decimal
from math import inf
from pathlib import Path

import pytest

from profiler.claims.claim import CLAIMS, figure, read_claims

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "article_claims.csv"


@pytest.mark.parametrize(
    ("text", "unit", "low", "high"),
    [
        ("36.7", "MB", 36.65, 36.75),
        ("140", "GB", 135, 145),
        ("40", "GB", 36, 44),  # half a unit would be 35 to 45, more than 10 %
        ("41943040", "count", 41943039.5, 41943040.5),
        ("50e6", "count", 45e6, 55e6),
        ("30-40", "GB", 30, 40),
    ],
)
def test_a_figure_hides_what_its_last_digit_rounds_off(text: str, unit: str, low: float, high: float) -> None:
    found = figure(text, unit)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_an_approximate_figure_may_be_five_percent_off() -> None:
    assert not figure("28", "GB").holds(26.95)
    assert figure("28", "GB", about=True).holds(26.95)
    assert not figure("28", "GB", about=True).holds(26.5)


def test_that_much_or_more_has_no_upper_end() -> None:
    found = figure("560+", "GB")
    assert found.holds(5600) and not found.holds(540)
    assert found.high == inf


def test_ids_are_unique_and_a_blank_is_unknown() -> None:
    claims = read_claims()
    assert len({claim.id for claim in claims}) == len(claims) == 59
    first = claims[0]
    assert (first.rank, first.target_modules, first.gpu) == (16, None, None)


def test_money_is_decimal_and_a_cost_knows_what_it_is_compared_with() -> None:
    claims = {claim.id: claim for claim in read_claims()}
    assert (claims["a22"].hours, claims["a22"].usd_per_hour) == (Decimal(6), Decimal("0.79"))
    assert claims["e03"].instead_of == claims["e02"]
    assert claims["e02"].instead_of is None


@pytest.mark.skipif(not SHARED.exists(), reason="../shared/data/article_claims.csv is not here")
def test_the_figures_are_the_published_ones_and_the_wording_is_not() -> None:
    with SHARED.open(encoding="utf-8", newline="") as lines:
        published = list(csv.DictReader(lines))
    with CLAIMS.open(encoding="utf-8", newline="") as lines:
        ours = list(csv.DictReader(lines))
    same = ("id", "model", "method", "rank", "gpu", "n_gpus", "batch_size", "seq_len", "examples", "epochs")
    for theirs, row in zip(published, ours, strict=True):
        assert all(theirs[name] == row[name] for name in (*same, "quantity", "claimed", "unit"))
        assert len(theirs["quote"]) < 20 or theirs["quote"] not in str(row)
        matrix = row["matrix"] and f"{row['matrix']} matrix"
        assert theirs["target_modules"] == (row["target_modules"] or matrix)

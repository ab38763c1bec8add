"""The figures that a chart shows."""

from __future__ import annotations

import pytest

from reports.charts.data import as_text, number, spoken, table
from tests.reports.documents.samples import FRONTIER, KNOWN, MEMORY, OFFERS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0, "0.00"),
        (46.9, "46.90"),
        (0.0031, "0.0031"),
        (-1.5, "-1.50"),
        (1234.5, "1,234.50"),
        (12345.6, "12,346"),
        (1e15, "1e+15"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_row_for_each_part_then_the_sum_and_the_limit() -> None:
    head, rows = table(MEMORY)
    assert head == ("in GiB", *MEMORY.bars)
    by_name = {name: values for name, *values in rows}
    assert by_name["optimizer states"] == ["–", "0.31", "0.31", "0.31", "0.31", "0.31"]
    # 5.6 + 0.16 + 0.31 + 4.4 + 3.9 + 0.2 + 0.01 + 0.4
    assert by_name["in all"][2] == "14.98"
    assert by_name["usable on RTX-4090-24GB"] == ["23.18"] * 6


def test_the_other_charts() -> None:
    assert table(KNOWN)[1][3] == ("saved activations", "4.40", "4.38", "–")
    assert table(OFFERS)[1][0] == ("vast · RTX-4090 (interruptible)", "0.62", "0.81", "1.40")
    assert table(FRONTIER)[0] == ("", "hours", "USD a run")


def test_each_bar_and_point_says_what_it_shows() -> None:
    assert spoken(MEMORY)["part-5-2"] == "loss, logits and loss: 3.90 GiB"
    assert spoken(KNOWN)["part-2-0"] == "base weights, measured: 5.61 GiB"
    assert spoken(OFFERS)["part-0-1"] == "runpod · RTX-4090: 1.31 USD a run (1.02 to 1.62)"
    assert spoken(FRONTIER)["part-0-4"] == "T4 · gcp: 11.40 hours, 0.78 USD a run"


def test_the_table_as_text() -> None:
    assert as_text(FRONTIER).splitlines()[:2] == ["\thours\tUSD a run", "H100-80GB-SXM · lambda\t0.90\t2.70"]

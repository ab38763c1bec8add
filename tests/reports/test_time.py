"""Time and cost for people, at 80 columns."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from planner.time.step_time import StepTime, Term
from pricing.plan_quotes import PlanQuotes
from pricing.quote import quote
from reports.offers import offers_section
from reports.page import Page
from reports.time import duration, explained_time_text, time_section
from tests.pricing.offers import TODAY, an_offer
from tests.reports.samples import qlora_that_fits

STEP = StepTime(
    step_s=2.0,
    low_s=1.6,
    high_s=2.5,
    coverage=0.9,
    tokens=8192,
    terms=(
        Term("matrix products", 1.5, "288.6 GFLOP a token"),
        Term("recomputation", 0.495, "checkpointed blocks forward again"),
        Term("launches", 0.005, "31,390 kernels"),
    ),
    mfu=0.33,
    hfu=0.49,
    basis="products measured on this card",
)


def lines_of(section: list[str]) -> str:
    return Page().finish(section)


def test_a_plan_says_how_fast_it_is_and_where_a_step_goes() -> None:
    plan = replace(qlora_that_fits(), time=STEP)
    text = lines_of(time_section(plan, Page()))
    assert "4,096 tokens/s, between 3,277 and 5,120 in 90% of runs; 2 s a step of 8,192" in text
    assert "MFU 33%, HFU 49%" in text
    assert "matrix products 75%, recomputation 25%" in text
    assert "launches" not in text  # 0.25 % of a step
    assert "4.07 min for a million tokens" in text
    assert max(map(len, text.splitlines())) <= 80


def test_without_a_time_there_is_no_section() -> None:
    assert time_section(qlora_that_fits(), Page()) == []


def test_the_terms_add_up_to_the_total() -> None:
    text = explained_time_text(STEP, "2 x A100-80GB-SXM", Page())
    assert text.startswith("Time of one optimizer step on 2 x A100-80GB-SXM\n")
    terms = text.partition("total")[0]
    assert [line.split()[-1] for line in terms.splitlines() if line.endswith("%")] == ["75%", "25%", "<1%"]
    assert "total  2 s" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (7.07e-8, "<0.01 ms"),
        (0.0005, "0.5 ms"),
        (0.78, "780 ms"),
        (5.7, "5.7 s"),
        (119, "119 s"),
        (744, "12.4 min"),
        (7200, "2 h"),
        (11_520, "3.2 h"),
        (440_640, "5.1 days"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_offers_with_the_day_that_each_price_was_seen() -> None:
    plan = replace(qlora_that_fits(), time=STEP)
    fresh = quote(an_offer(usd_per_hour=Decimal("2.00")), (0.5, 1.0, 2.0), TODAY)
    old = quote(an_offer(gpu="T4", gpu_name="T4", as_of=date(2025, 4, 15)), (0.5, 1.0, 2.0), TODAY)
    text = lines_of(offers_section(plan, PlanQuotes((fresh,), (old,), 1e6), Page()))
    assert "What a million tokens costs on A100-80GB-SXM" in text
    assert "runpod on-demand  $2.00  1.00-4.00  60 min  2.00/h  2026-11-09\n" in text
    assert "T4 runpod on-demand  $1.09  0.54-2.18  60 min  1.09/h  2025-04-15*" in text
    assert "* an old price" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_card_that_nobody_offers() -> None:
    plan = replace(qlora_that_fits(), time=STEP)
    text = lines_of(offers_section(plan, PlanQuotes((), (), None), Page()))
    assert "What the job costs on A100-80GB-SXM\n  no offer of it is known" in text

"""A run held to its limits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.units import GIB
from reports.checks import CheckedRun, LimitCheck, Limits, check_run
from reports.comparison import Planned, Unplanned
from tests.reports.comparison.sides import planned

SIDE = planned()
HIGH = SIDE.plan.memory.interval_bytes.high / GIB
assert SIDE.plan.gpu is not None and SIDE.plan.job is not None and SIDE.quotes is not None
USABLE = SIDE.plan.gpu.usable_bytes / GIB


def only(side: Planned | Unplanned = SIDE, **limits: object) -> LimitCheck:
    """The check of one limit alone."""
    (check,) = check_run(side, Limits(**({"verdict": None} | limits)))  # pyright: ignore[reportArgumentType]
    return check


def test_memory_is_held_to_its_high_end() -> None:
    assert SIDE.plan.memory.peak_bytes.reserved / GIB < HIGH
    assert only(memory_gib=HIGH + 0.001).ok
    broken = only(memory_gib=HIGH - 1)
    assert not broken.ok
    assert broken.text.startswith(f"{HIGH:.2f} GiB at the high end") and "1.00 above" in broken.text
    assert broken.held == HIGH and broken.expected == SIDE.plan.memory.peak_bytes.reserved / GIB


def test_headroom_is_a_share_of_what_the_card_can_use() -> None:
    left = 1 - HIGH / USABLE
    assert only(headroom=left - 0.001).ok
    broken = only(headroom=left + 0.05)
    assert not broken.ok and "5.0 points below" in broken.text


def test_no_headroom_is_not_a_negative_share() -> None:
    check = only(planned(method="full", micro_batch_size=64), headroom=0.1)
    assert check.text.startswith("none of 23.0 GiB usable left at the high end, none expected")


def test_a_budget_is_held_to_the_high_end_of_the_offer_where_that_is_least() -> None:
    assert SIDE.quotes is not None
    spot, on_demand = SIDE.quotes.of_card
    # spot is expected to cost less, but with its interruptions it may cost more
    assert (spot.offer.market, on_demand.offer.market) == ("spot", "on-demand")
    least = min(spot.high_usd, on_demand.high_usd)
    assert only(budget_usd=least).ok
    broken = only(budget_usd=least - Decimal("0.01"))
    assert not broken.ok
    assert broken.text.endswith(f": $0.01 above ${least - Decimal('0.01')}")
    assert broken.held == str(least)


def test_a_deadline_is_held_to_the_slow_end_of_the_job() -> None:
    assert SIDE.plan.job is not None
    slow = SIDE.plan.job.hours_interval[1]
    assert only(deadline_hours=slow).ok and not only(deadline_hours=slow * 0.99).ok
    assert SIDE.plan.job.hours < slow


@pytest.mark.parametrize(("batch", "found"), [(1, "fits"), (64, "does_not_fit")])
def test_the_verdict_that_is_asked_for_or_a_better_one(batch: int, found: str) -> None:
    side = planned(method="lora", micro_batch_size=batch)
    assert side.plan.verdict == found
    assert only(side, verdict="fits").ok == only(side, verdict="tight").ok == (found == "fits")


def test_tight_is_enough_where_it_is_asked_for() -> None:
    tight = next(
        side
        for batch in range(4, 20)
        if (side := planned(method="lora", micro_batch_size=batch)).plan.verdict == "tight"
    )
    assert only(tight, verdict="tight").ok and not only(tight, verdict="fits").ok


def test_limits_come_in_the_order_of_a_plan() -> None:
    limits = Limits(memory_gib=20, headroom=0.1, budget_usd=Decimal(20), deadline_hours=12)
    names = [check.name for check in check_run(SIDE, limits)]
    assert names == list(limits.stated) == ["verdict", "memory_gib", "headroom", "budget_usd", "deadline"]


def test_what_cannot_be_answered_does_not_pass() -> None:
    abstained = Unplanned("a.yaml", "how mamba trains is not known", refused=False)
    checks = check_run(abstained, Limits(memory_gib=20, budget_usd=Decimal(20)))
    assert [(check.ok, check.limit) for check in checks] == [(False, "fits"), (False, 20), (False, "20")]
    assert all(check.text == "not answered: how mamba trains is not known" for check in checks)
    unpriced = only(planned(priced=False), budget_usd=Decimal(20))
    assert not unpriced.ok and unpriced.text == "not answered: no offer of RTX4090 is known"


def test_a_run_that_cannot_be_read_is_never_ok() -> None:
    assert not CheckedRun(Unplanned("a.yaml", "a.yaml is empty", refused=True), ()).ok


@pytest.mark.parametrize("limits", [{"verdict": "fits"}, {"headroom": 0.1}, {"budget_usd": Decimal(1)}])
def test_a_limit_that_needs_a_card_says_so(limits: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot be checked without a card; name it with gpu"):
        only(planned(gpu=None, job=None), **limits)


@pytest.mark.parametrize("limits", [{"deadline_hours": 1.0}, {"budget_usd": Decimal(1)}])
def test_a_limit_that_needs_a_job_says_so(limits: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot be checked without a job; give examples"):
        only(planned(job=None), **limits)


def test_memory_needs_no_card() -> None:
    assert only(planned(gpu=None, job=None), memory_gib=1000.0).ok


@settings(max_examples=30)
@given(st.floats(0.1, 100), st.floats(0.1, 100))
def test_a_wider_limit_never_breaks_what_a_narrower_one_keeps(one: float, other: float) -> None:
    narrow, wide = sorted((one, other))
    assert only(memory_gib=narrow).ok <= only(memory_gib=wide).ok
    assert only(headroom=wide / 101).ok <= only(headroom=narrow / 101).ok
    assert only(deadline_hours=narrow).ok <= only(deadline_hours=wide).ok

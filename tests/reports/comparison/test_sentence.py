"""A comparison in one sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.comparison import Unplanned
from reports.comparison.sentence import SAME, sentence, signed_bytes, signed_dollars, summary
from tests.reports.comparison.sides import planned, with_figures

FITS = with_figures(planned(), reserved_gib=10, verdict="fits", usd="0.50")
TIGHT = with_figures(planned(), reserved_gib=22, verdict="tight", usd="0.50")
TOO_LARGE = with_figures(planned(), reserved_gib=21.2, verdict="does_not_fit", usd="3.60")


def test_the_sentence_says_memory_fit_and_cost() -> None:
    assert sentence(FITS, TOO_LARGE) == "+11.2 GiB, no longer fits RTX4090; +$3.10 a run"
    assert sentence(TOO_LARGE, FITS) == "-11.2 GiB, now fits RTX4090; -$3.10 a run"
    assert sentence(FITS, TIGHT) == "+12.0 GiB, now tight on RTX4090; same time and cost"
    assert sentence(TIGHT, FITS) == "-12.0 GiB, now fits RTX4090; same time and cost"


def test_what_stays_is_said_too() -> None:
    dearer = with_figures(planned(), reserved_gib=10, verdict="fits", usd="0.75")
    assert sentence(FITS, dearer) == "same memory, still fits RTX4090; +$0.25 a run"


def test_equal_runs_have_a_sentence_of_their_own() -> None:
    assert sentence(planned(), planned()) == SAME == "No change in memory, time or cost"


def test_a_field_that_moves_nothing_is_no_change() -> None:
    assert sentence(planned(alpha=16), planned(alpha=32)) == SAME


def test_hours_are_those_of_the_job_or_of_a_million_tokens() -> None:
    job = sentence(planned(), planned(kernels="liger", micro_batch_size=4))
    assert re.fullmatch(r".*; [+-][\d.]+ (s|min|h) and [+-]\$\d+\.\d\d a run", job), job
    tokens = sentence(planned(job=None), planned(job=None, method="full"))
    assert tokens.endswith("a million tokens")


def test_no_offer_leaves_the_time() -> None:
    said = sentence(planned(priced=False), planned(priced=False, method="full"))
    assert "$" not in said and said.endswith("a run")


def test_other_cards_are_named_both() -> None:
    assert "fits A100-80GB-SXM (before, fits RTX4090)" in sentence(planned(), planned(gpu="a100-80"))


def test_a_side_without_a_plan_is_a_sentence() -> None:
    missing = Unplanned("b.yaml", "b.yaml does not exist; check the path", refused=True)
    assert sentence(FITS, missing) == "not planned: b.yaml does not exist; check the path"
    said = sentence(missing, FITS)
    assert said.startswith("fits RTX4090: 10.0 GiB")
    assert said.endswith("there is nothing to compare it with, as b.yaml is not planned")


def test_a_summary_is_the_plan_in_one_line() -> None:
    said = summary(planned())
    assert re.fullmatch(r"fits RTX4090: [\d.]+ GiB \([\d.]+–[\d.]+\) reserved; [\d.]+ min and \$[\d.]+ a run", said), (
        said
    )
    assert summary(planned(gpu=None, job=None)).endswith("reserved")


def test_a_little_memory_is_told_in_mib() -> None:
    more = replace(
        FITS,
        plan=replace(
            FITS.plan,
            memory=replace(
                FITS.plan.memory,
                peak_bytes=replace(
                    FITS.plan.memory.peak_bytes, reserved=FITS.plan.memory.peak_bytes.reserved + 2 * 1024**2
                ),
            ),
        ),
    )
    assert sentence(FITS, more).startswith("+2.0 MiB, still fits RTX4090")


@given(st.integers(-(10**13), 10**13))
def test_signed_bytes_are_within_rounding_of_the_bytes(count: int) -> None:
    number, unit = signed_bytes(count).split()
    size = float(number.replace(",", "")) * {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}[unit]
    assert size == pytest.approx(count, abs=0.0501 * {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 0}[unit])


@given(st.decimals(-1_000_000, 1_000_000, places=2))
def test_signed_dollars_are_exact(usd: Decimal) -> None:
    assert Decimal(signed_dollars(usd).replace("$", "").replace(",", "")) == usd

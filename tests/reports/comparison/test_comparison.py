"""Signed differences of two plans."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.comparison import Change, compare_plans
from tests.reports.comparison.sides import planned, with_figures

RUNS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(("lora", "qlora", "full")),
        "micro_batch_size": st.sampled_from((1, 2, 5)),
        "sequence_length": st.sampled_from((256, 1024)),
        "gradient_checkpointing": st.booleans(),
    }
)


def test_a_run_compared_with_itself_has_no_difference() -> None:
    comparison = compare_plans(planned(), planned("b.yaml"))
    assert not comparison.changed
    assert comparison.fields == ()
    assert comparison.reserved_bytes.difference == 0


def test_differences_are_of_what_decides_and_what_is_paid() -> None:
    base = with_figures(planned(), reserved_gib=10, verdict="fits", usd="0.50")
    other = with_figures(planned(), reserved_gib=21.25, verdict="does_not_fit", usd="3.60")
    comparison = compare_plans(base, other)
    assert comparison.reserved_bytes.difference == 11.25 * 1024**3
    assert comparison.usd == Change(Decimal("0.50"), Decimal("3.60"))
    assert comparison.usd is not None and comparison.usd.difference == Decimal("3.10")
    assert comparison.changed


def test_fields_that_differ_come_with_both_values() -> None:
    comparison = compare_plans(planned(rank=8), planned(rank=64, method="lora"))
    fields = {field.name: (field.base, field.other) for field in comparison.fields}
    assert fields["method"] == ("qlora", "lora")
    assert fields["rank"] == (8, 64)
    assert fields["alpha"] == (16.0, 128.0)
    # double quantization means nothing for a base that is not quantized
    assert fields["double_quant"] == (True, None)
    assert "optimizer" not in fields


def test_without_a_card_there_is_memory_alone() -> None:
    comparison = compare_plans(planned(gpu=None, job=None), planned(gpu=None, job=None, micro_batch_size=4))
    assert comparison.reserved_bytes.difference > 0
    assert (comparison.step_s, comparison.hours, comparison.usd) == (None, None, None)
    assert [name for name, _ in comparison.levels] == ["allocated", "reserved"]


def test_without_a_job_hours_are_those_of_a_million_tokens() -> None:
    side = planned(job=None)
    assert side.plan.time is not None
    comparison = compare_plans(side, side)
    assert not comparison.of_job
    assert comparison.hours is not None
    assert comparison.hours.base == pytest.approx(1e6 / side.plan.time.tokens * side.plan.time.step_s / 3600)


def test_a_job_and_no_job_have_no_hours_to_compare() -> None:
    comparison = compare_plans(planned(), planned(job=None))
    assert comparison.hours is None and comparison.usd is None


@settings(max_examples=15)
@given(RUNS, RUNS)
def test_the_other_way_round_every_difference_has_the_other_sign(
    one: dict[str, object], two: dict[str, object]
) -> None:
    there = compare_plans(planned(**one), planned(**two))
    back = compare_plans(planned(**two), planned(**one))
    assert there.reserved_bytes.difference == -back.reserved_bytes.difference
    assert there.usd is not None and back.usd is not None
    assert there.usd.difference == -back.usd.difference
    assert there.changed == back.changed
    assert [field.name for field in there.fields] == [field.name for field in back.fields]
    # components are those of the peaks, and add up to what is allocated there
    levels = dict(there.levels)
    assert sum(change.difference for _, change in there.components) == levels["allocated"].difference

"""What a planned run costs: on its own card, and on others that it would fit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from planner.job import Job
from planner.plan import plan
from planner.run import TrainingRun
from pricing.plan_quotes import MILLION, plan_quotes
from pricing.quote import quote
from tests.pricing.offers import TODAY, an_offer

RUN = TrainingRun(model="llama-3.1-8b", method="qlora", micro_batch_size=2)
SEEN = date(2026, 11, 9)


def offer_of(gpu: str, usd: str, **changes: object):
    return an_offer(gpu=gpu, gpu_name=gpu, instance_type=f"1x {gpu}", usd_per_hour=Decimal(usd), as_of=SEEN, **changes)


def test_a_million_tokens_without_a_job() -> None:
    planned = plan(RUN, "L40S")
    assert planned.time is not None
    found = plan_quotes(planned, [offer_of("L40S", "1000.00", gpu_count=8)], TODAY)
    assert found is not None and found.tokens == MILLION
    (own,) = found.of_card
    hours = 1e6 / planned.time.tokens_per_s / 3600
    assert own.hours == pytest.approx(hours)
    assert float(own.usd) == pytest.approx(1000 * hours, rel=0.01)
    assert own.idle_gpus == 7


def test_the_job_with_all_that_it_takes() -> None:
    planned = plan(RUN, "L40S", Job(examples=1000, tokens=500_000, epochs=2))
    assert planned.job is not None
    mine = offer_of("L40S", "1.09")
    found = plan_quotes(planned, [mine], TODAY)
    assert found is not None and found.tokens is None
    expected = quote(
        mine,
        planned.job,
        TODAY,
        num_gpus=1,
        disk_bytes=planned.footprint.disk_bytes,
        leaving_bytes=planned.footprint.adapter_file_bytes,
    )
    assert found.of_card == (expected,)


def test_other_cards_are_named_where_the_run_fits_and_costs_less() -> None:
    planned = plan(RUN, "A100-80GB-SXM")
    offers = [
        offer_of("A100-80GB-SXM", "3.00"),
        offer_of("L40S", "0.80"),  # 0.6 times as fast
        offer_of("H100-SXM", "30.00"),  # twice as fast, ten times the price
        offer_of("RTX3060-12GB", "0.01"),  # too small
        offer_of("T4", "0.01"),  # no bfloat16
    ]
    found = plan_quotes(planned, offers, TODAY)
    assert found is not None
    assert [quoted.offer.gpu for quoted in found.elsewhere] == ["L40S"]
    assert found.elsewhere[0].usd < found.of_card[0].usd
    faster = plan_quotes(plan(RUN, "L40S"), [offer_of("L40S", "0.80")], TODAY)
    assert faster is not None
    assert found.elsewhere[0].hours == pytest.approx(faster.of_card[0].hours)


def test_the_job_on_another_card_takes_what_its_own_plan_says() -> None:
    job = Job(examples=1000, tokens=500_000)
    there = plan(RUN, "L40S", job)
    found = plan_quotes(plan(RUN, "A100-80GB-SXM", job), [offer_of("L40S", "0.01")], TODAY)
    assert found is not None and there.job is not None
    (cheaper,) = found.elsewhere
    # eight lengths of batches there, the ratio at their mean here
    assert cheaper.hours == pytest.approx(there.job.hours, rel=0.02)


def test_without_a_card_or_a_time_there_is_nothing_to_price() -> None:
    assert plan_quotes(plan(RUN), [offer_of("L40S", "1.00")], TODAY) is None


def test_a_card_without_offers_still_says_where_it_would_run() -> None:
    found = plan_quotes(plan(RUN, "GH200-96GB"), [offer_of("L40S", "0.80")], TODAY)
    assert found is not None
    assert found.of_card == ()
    assert [quoted.offer.gpu for quoted in found.elsewhere] == ["L40S"]

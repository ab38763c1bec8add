"""The ways to do a job: none is beaten, all fit, and what is left out says why."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from planner.errors import Abstention, InputError
from planner.plan import plan
from pricing.offer import Offer
from pricing.quote import quote
from pricing.recommend import DEFAULT_TOKENS
from pricing.recommendation import Recommendation
from tests.pricing.offers import TODAY, an_offer
from tests.pricing.recommendations import JOB, OFFERS, recommended


@pytest.fixture(scope="module")
def found() -> Recommendation:
    return recommended()


def test_the_frontier_gets_slower_and_cheaper(found: Recommendation) -> None:
    assert len(found.frontier) > 1
    for faster, slower in pairwise(found.frontier):
        assert faster.hours < slower.hours
        assert faster.usd > slower.usd
    assert found.fastest is found.frontier[0]
    assert found.cheapest is found.frontier[-1]


def test_nothing_that_is_quoted_beats_the_frontier(found: Recommendation) -> None:
    """Every way of the frontier, put on every offer of as many such cards, is on it or beaten."""
    for way in found.frontier:
        for offer in OFFERS:
            if (offer.gpu, offer.gpu_count) != (way.gpu, way.run.num_gpus):
                continue
            quoted = quote(offer, way.job, TODAY)
            assert any(other.hours <= quoted.hours * 1.01 and other.usd <= quoted.usd for other in found.frontier)


def test_each_way_is_what_a_plan_of_it_says(found: Recommendation) -> None:
    for way in (*found.frontier, *found.by_method):
        planned = plan(way.run, way.gpu, JOB)
        assert planned.verdict == "fits"
        assert way.reserved_bytes == planned.memory.peak_bytes.reserved
        assert planned.gpu is not None and way.usable_bytes == planned.gpu.usable_bytes
        assert way.step == planned.time
        assert way.job == planned.job
        assert way.usd == way.quote.usd


def test_the_cheapest_way_of_each_method(found: Recommendation) -> None:
    assert [way.method for way in found.by_method] == [
        way.method for way in sorted(found.by_method, key=lambda way: way.usd)
    ]
    assert len({way.method for way in found.by_method}) == len(found.by_method)
    assert found.cheapest is not None and found.by_method[0].usd == found.cheapest.usd


def test_candidates_are_counted_by_hand(found: Recommendation) -> None:
    """hf kernels: 4 methods x checkpointing or not x 4 optimizers is 32 settings.

    One card has 8 micro-batches of up to 128 sequences: 256 plans, on the offers of a L40S (2), H100 and T4. Eight
    cards have 5, with DDP, and without int8 FSDP too, all without accumulation: 160 + 120.
    """
    assert found.plans == 3 * 256 + 160 + 120
    assert found.considered == 4 * 256 + 160 + 120
    assert found.offers == 5
    assert 0 < found.fitting < found.plans


def test_cards_without_offers_are_named(found: Recommendation) -> None:
    assert "RTX4090" in found.without_offers
    assert "L40S" not in found.without_offers
    assert recommended(gpus=("l40s",)).without_offers == ()


def test_without_a_job_one_is_assumed() -> None:
    found = recommended(job=None, methods=("qlora",))
    assert found.assumed_job
    assert found.job.tokens == DEFAULT_TOKENS


def test_near_misses_of_memory_say_what_they_need(found: Recommendation) -> None:
    """16-bit weights alone are 15 GiB, more than a T4 can use."""
    miss = next(miss for miss in found.memory_misses if miss.method == "lora")
    assert (miss.gpu, miss.run.num_gpus) == ("T4", 1)
    assert miss.usable_bytes < 15 * 2**30 < miss.needed_bytes < miss.high_bytes
    assert miss.usd_per_hour == Decimal("0.526")


def test_a_70b_lora_does_not_fit_a_card_of_80_gb() -> None:
    """141 GB of weights in 16 bits."""
    offer = an_offer(gpu="A100-80GB-SXM", gpu_name="A100", instance_type="a100")
    found = recommended({"model": "llama-3.1-70b"}, (offer,), methods=("lora",))
    assert (found.frontier, found.emptied_by) == ((), "memory")
    (miss,) = found.memory_misses
    assert miss.needed_bytes > 70e9 * 2
    assert miss.usable_bytes < 80 * 2**30


def test_a_budget_leaves_what_costs_no_more() -> None:
    everything = recommended(methods=("lora",))
    assert everything.fastest is not None
    within = recommended(methods=("lora",), budget=everything.fastest.usd - Decimal("0.01"))
    assert within.frontier
    assert all(way.usd < everything.fastest.usd for way in within.frontier)


def test_a_budget_that_leaves_nothing_says_by_how_much() -> None:
    found = recommended(methods=("lora",), budget=Decimal("0.10"))
    assert (found.frontier, found.emptied_by) == ((), "budget")
    (miss,) = found.limit_misses
    assert miss.limit == "budget"
    assert miss.over_usd == miss.way.usd - Decimal("0.10")


def test_a_deadline_that_leaves_nothing_says_by_how_much() -> None:
    found = recommended(methods=("lora",), deadline_hours=0.01)
    assert (found.frontier, found.emptied_by) == ((), "deadline")
    (miss,) = found.limit_misses
    assert miss.over_hours == miss.way.hours - 0.01


def test_two_limits_that_only_together_leave_nothing() -> None:
    everything = recommended(methods=("lora",))
    fastest, cheapest = everything.fastest, everything.cheapest
    assert fastest is not None and cheapest is not None
    found = recommended(methods=("lora",), budget=cheapest.usd, deadline_hours=fastest.hours * 1.001)
    assert found.emptied_by == "budget and deadline"
    assert found.limit_misses[0].within_deadline


def test_of_ways_that_are_alike_the_plainer_is_taken(found: Recommendation) -> None:
    """An 8-bit optimizer saves some milliseconds of a LoRA step, which is no reason to name one."""
    assert {way.run.optimizer for way in found.frontier if way.method != "full"} == {"adamw_torch_fused"}


@pytest.mark.parametrize(
    ("offers", "said"),
    [((), "no offer of any catalogued card"), (OFFERS[-1:], "no offer of any catalogued card")],
)
def test_no_offer_at_all(offers: tuple[Offer, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recommended(offers=offers)


def test_a_model_that_no_method_is_known_for() -> None:
    with pytest.raises(Abstention):
        recommended({"kernels": "unsloth"})

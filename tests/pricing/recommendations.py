"""Recommendations to test with: of a small model on a few offers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from planner.job import Job
from pricing.offer import Offer
from pricing.recommend import recommend
from pricing.recommendation import Recommendation
from pricing.wishes import Wishes
from tests.pricing.offers import TODAY, an_offer

JOB = Job(tokens=10_000_000)
FIELDS: dict[str, object] = {"model": "llama-3.1-8b", "kernels": "hf"}

OFFERS = (
    an_offer(),
    an_offer(instance_type="1x L40S spot", market="spot", usd_per_hour=Decimal("0.60")),
    an_offer(
        provider="lambda",
        instance_type="gpu_1x_h100_sxm5",
        gpu="H100-SXM",
        gpu_name="H100",
        usd_per_hour=Decimal("3.29"),
    ),
    an_offer(
        provider="lambda",
        instance_type="gpu_8x_h100_sxm5",
        gpu="H100-SXM",
        gpu_name="H100",
        gpu_count=8,
        usd_per_hour=Decimal("23.92"),
    ),
    an_offer(provider="aws", instance_type="g4dn.xlarge", gpu="T4", gpu_name="T4", usd_per_hour=Decimal("0.526")),
    an_offer(provider="vast", instance_type="unknown", gpu=None, gpu_name="Quadro", usd_per_hour=Decimal("0.01")),
)
"""The last is of a card that is in no catalogue."""


def recommended(
    fields: dict[str, object] | None = None, offers: tuple[Offer, ...] = OFFERS, job: Job | None = JOB, **wishes: Any
) -> Recommendation:
    """What is recommended on the day of these offers."""
    return recommend(FIELDS | (fields or {}), job, Wishes(**wishes), offers=offers, today=TODAY)

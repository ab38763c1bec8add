"""Prices as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from pricing.ages import staleness
from pricing.offer import Offer

_MICRO = Decimal("0.000001")


def prices_json(offers: Sequence[Offer], today: date, notes: Sequence[str] = ()) -> dict[str, object]:
    """Every field of each offer, its age on the day `today`, and what is to be said of all of them."""
    days = [offer.as_of for offer in offers if offer.as_of is not None]
    return {
        "today": today.isoformat(),
        "count": len(offers),
        "stale": sum(staleness(offer, today).stale for offer in offers),
        "undated": len(offers) - len(days),
        "oldest": min(days).isoformat() if days else None,
        "newest": max(days).isoformat() if days else None,
        "prices": [_offer(offer, today) for offer in offers],
        "notes": list(notes),
    }


def _offer(offer: Offer, today: date) -> dict[str, object]:
    age = staleness(offer, today)
    return {
        "provider": offer.provider,
        "instance_type": offer.instance_type,
        "gpu": offer.gpu,
        "gpu_name": offer.gpu_name,
        "gpu_count": offer.gpu_count,
        "market": offer.market,
        "usd_per_hour": number(offer.usd_per_hour),
        "usd_per_gpu_hour": number(offer.usd_per_gpu_hour.quantize(_MICRO)),
        "region": offer.region,
        "as_of": offer.as_of.isoformat() if offer.as_of is not None else None,
        "age_days": age.days,
        "fresh_days": age.fresh_days,
        "stale": age.stale,
        "source": offer.source,
        "vcpus": offer.vcpus,
        "ram_gib": offer.ram_gib,
        "gpu_memory_gib": offer.gpu_memory_gib,
        "note": offer.note,
    }


def number(amount: Decimal) -> float:
    """An amount as a number of JSON, which writes the same digits: a float keeps 15 of them."""
    return float(amount)

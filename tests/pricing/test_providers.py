"""What is known of the providers."""

from __future__ import annotations

from decimal import Decimal

from pricing.providers import KINDS, find_provider, list_providers


def test_a_provider_is_found_by_its_id() -> None:
    runpod = find_provider("runpod")
    assert runpod is not None
    assert runpod.name == "RunPod"
    # docs.runpod.io/accounts-billing/billing: by the second, no fees for data transfer
    assert (runpod.kind, runpod.billing_seconds, runpod.egress_usd_per_gb) == ("neocloud", 1, Decimal(0))


def test_what_is_not_known_is_not_free() -> None:
    vast = find_provider("vast")
    assert vast is not None
    assert vast.storage_usd_per_gib_month is None
    assert vast.egress_usd_per_gb is None


def test_a_provider_of_the_user_alone_is_unknown() -> None:
    assert find_provider("my-cloud") is None


def test_every_figure_has_a_source_and_every_source_a_figure() -> None:
    for provider in list_providers():
        assert provider.kind in KINDS
        assert provider.id == provider.id.lower()
        assert provider.name
        assert (provider.storage_usd_per_gib_month is None) == (not provider.storage_source), provider.id
        assert (provider.egress_usd_per_gb is None) == (not provider.egress_source), provider.id
        assert (provider.billing_seconds is None) == (not provider.billing_source), provider.id
        assert provider.billing_seconds in (None, 1, 60, 3600)
        assert provider.minimum_seconds is None or provider.billing_seconds is not None


def test_storage_and_egress_are_in_the_range_of_such_prices() -> None:
    for provider in list_providers():
        storage, egress = provider.storage_usd_per_gib_month, provider.egress_usd_per_gb
        assert storage is None or Decimal("0.01") <= storage <= Decimal("0.50"), provider.id
        assert egress is None or 0 <= egress <= Decimal("0.20"), provider.id

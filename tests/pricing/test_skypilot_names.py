"""SkyPilot's names, against what the catalogue makes of them and against the bundled offers."""

from __future__ import annotations

import pytest

from planner.catalogue import find_gpu, list_gpus
from planner.errors import InputError
from pricing.gpu_names import catalogue_card
from pricing.sheets import offers
from pricing.skypilot_names import CLOUDS, accelerator_name, can_rent, cloud_name

NOT_RENTED = {"RTX3060-12GB", "RTX4060Ti-16GB", "RTX4070Ti"}
"""Cards that no provider here has."""


@pytest.mark.parametrize("gpu", [gpu.name for gpu in list_gpus() if gpu.name not in NOT_RENTED])
def test_every_card_has_a_name_that_reads_back_as_one_of_its_kind(gpu: str) -> None:
    name = accelerator_name(gpu, "aws")
    memory = 16 if name == "V100" else find_gpu(gpu).gpu.marketing_gb
    card = catalogue_card(name, memory)
    assert card is not None
    # the form (SXM or PCIe) is not in the name
    assert card.gpu.split("-")[0] == gpu.split("-")[0]
    assert find_gpu(card.gpu).gpu.marketing_gb == find_gpu(gpu).gpu.marketing_gb


def test_a_card_that_nobody_rents_out_is_a_sentence() -> None:
    for gpu in NOT_RENTED:
        with pytest.raises(InputError, match=f"SkyPilot has no {gpu} to rent; name another card"):
            accelerator_name(gpu, "aws")


def test_names_differ_from_cloud_to_cloud() -> None:
    assert accelerator_name("H100-SXM", "runpod") == "H100-SXM"
    assert accelerator_name("H100-PCIe", "runpod") == accelerator_name("H100-SXM", "gcp") == "H100"
    assert accelerator_name("RTX-A6000", "lambda") == "A6000"
    assert accelerator_name("RTX-A6000", "runpod") == "RTXA6000"


def test_a_provider_that_would_bill_on_is_refused() -> None:
    for provider in ("verda", "primeintellect", "yotta", "colab"):
        with pytest.raises(InputError, match=f"cannot rent a machine of {provider} and give it back by itself"):
            cloud_name(provider)
    assert cloud_name("digitalocean") == "do"


def test_of_the_bundled_offers_those_can_be_rented_that_it_can_give_back() -> None:
    rented = [offer for offer in offers() if can_rent(offer)]
    assert {offer.provider for offer in rented} <= CLOUDS.keys()
    assert {offer.provider for offer in rented} >= {"aws", "gcp", "azure", "runpod", "vast", "lambda"}
    assert not [offer for offer in rented if offer.market == "community" and offer.provider != "vast"]
    assert not [offer for offer in rented if offer.market == "spot" and offer.provider == "lambda"]

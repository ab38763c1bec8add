"""What SkyPilot calls clouds and cards, of those that it can rent and give back by itself.

Source: the wheel of skypilot 0.14.1. Clouds are `ALL_CLOUDS` of sky/skylet/constants.py; cards are as
sky/catalog/data_fetchers writes them into the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping

from planner.errors import InputError
from pricing.offer import COMMUNITY, ON_DEMAND, SPOT, Offer

CLOUDS: Mapping[str, str] = {
    "aws": "aws",
    "azure": "azure",
    "gcp": "gcp",
    "lambda": "lambda",
    "runpod": "runpod",
    "vast": "vast",
    "fluidstack": "fluidstack",
    "nebius": "nebius",
    "shadeform": "shadeform",
    "digitalocean": "do",
}
"""`Offer.provider` -> SkyPilot's cloud. Left out are PrimeIntellect, Verda and Yotta, on which it cannot shut a machine
down by itself (AUTODOWN in `_CLOUD_UNSUPPORTED_FEATURES` of sky/clouds), so that one that is forgotten costs on."""

NO_SPOT = frozenset(("lambda", "fluidstack", "digitalocean", "shadeform"))
"""Providers of which SkyPilot rents no spot instances."""

OWN_TYPES = frozenset(("aws", "azure", "lambda"))
"""Providers whose instance types SkyPilot calls as they do, and which say the form of a card that its name does not."""

_CARDS: Mapping[str, str] = {
    "T4": "T4",
    "V100-16GB-SXM2": "V100",
    "V100-32GB-SXM2": "V100-32GB",
    "A100-40GB-PCIe": "A100",
    "A100-40GB-SXM": "A100",
    "A100-80GB-PCIe": "A100-80GB",
    "A100-80GB-SXM": "A100-80GB",
    "A30": "A30",
    "A10": "A10",
    "A10G": "A10G",
    "A40": "A40",
    "RTX-A5000": "RTXA5000",
    "RTX-A6000": "RTXA6000",
    "RTX3090": "RTX3090",
    "RTX4080": "RTX4080",
    "RTX4090": "RTX4090",
    "RTX5080": "RTX5080",
    "RTX5090": "RTX5090",
    "RTX6000-Ada": "RTX6000-Ada",
    "RTX-PRO-6000": "RTXPRO6000",
    "L4": "L4",
    "L40": "L40",
    "L40S": "L40S",
    "H100-PCIe": "H100",
    "H100-SXM": "H100",
    "H100-NVL": "H100",
    "H200-SXM": "H200",
    "GH200-96GB": "GH200",
    "B200": "B200",
    "B300": "B300",
    "GB200": "GB200",
    "MI300X": "MI300X",
}
"""Card of the catalogue -> its name on most clouds."""

_ON: Mapping[str, Mapping[str, str]] = {
    # fetch_runpod.py
    "runpod": {
        "A100-80GB-SXM": "A100-80GB-SXM",
        "H100-SXM": "H100-SXM",
        "H100-NVL": "H100-NVL",
        "H200-SXM": "H200-SXM",
    },
    # GPU_MAP of fetch_fluidstack.py
    "fluidstack": {"A100-80GB-SXM": "A100-80GB-SXM", "H100-SXM": "H100-SXM"},
    # GPU_TO_MEMORY of fetch_lambda_cloud.py
    "lambda": {"RTX-A6000": "A6000"},
}


def cloud_name(provider: str) -> str:
    """SkyPilot's name of a provider. Raises `InputError` for one that it does not rent, or not give back by itself."""
    if provider not in CLOUDS:
        raise InputError(
            f"SkyPilot cannot rent a machine of {provider} and give it back by itself; name one of "
            f"{', '.join(CLOUDS)} with --provider",
            field="provider",
        )
    return CLOUDS[provider]


def accelerator_name(gpu: str, provider: str) -> str:
    """SkyPilot's name of a card of the catalogue on a provider. Raises `InputError` where it has none."""
    name = _ON.get(provider, {}).get(gpu) or _CARDS.get(gpu)
    if name is None:
        raise InputError(
            f"SkyPilot has no {gpu} to rent; name another card, or measure on one of your own without --launch",
            field="gpu",
        )
    return name


def can_rent(offer: Offer) -> bool:
    """Whether SkyPilot can rent what an offer is of, at the offer's kind of price."""
    if offer.provider not in CLOUDS or offer.gpu not in _CARDS:
        return False
    if offer.market == COMMUNITY:
        # RunPod's pods are rented in its secure cloud (sky/provision/runpod), Vast has no others
        return offer.provider == "vast"
    return offer.market == ON_DEMAND or (offer.market == SPOT and offer.provider not in NO_SPOT)

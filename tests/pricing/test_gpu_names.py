"""Providers' names for cards, as they stand in their lists, and the cards they are."""

from __future__ import annotations

import pytest

from planner.catalogue import list_gpus
from pricing.gpu_names import catalogue_card


@pytest.mark.parametrize(
    ("name", "memory_gib", "hint", "card"),
    [
        # RunPod
        ("NVIDIA A100 80GB PCIe", 80, "", "A100-80GB-PCIe"),
        ("A100 SXM 40GB", 40, "", "A100-40GB-SXM"),
        ("H100 NVL", 94, "", "H100-NVL"),
        ("RTX PRO 6000 WK", 96, "", "RTX-PRO-6000"),
        ("V100 SXM2 32GB", 32, "", "V100-32GB-SXM2"),
        ("AMD Instinct MI300X OAM", 192, "", "MI300X"),
        # Vast
        ("A100 SXM4", 40.0, "", "A100-40GB-SXM"),
        ("A100 SXM4", 80.0, "", "A100-80GB-SXM"),
        ("A100 PCIE", 80.0, "", "A100-80GB-PCIe"),
        ("RTX 6000Ada", 48.0, "", "RTX6000-Ada"),
        ("Tesla V100", 16.0, "", "V100-16GB-SXM2"),
        ("RTX PRO 6000 S", 95.6, "", "RTX-PRO-6000"),
        # SkyPilot, with the instance type it stands beside
        ("H100", 80.0, "gpu_1x_h100_pcie", "H100-PCIe"),
        ("A100-80GB", 80.0, "crusoe_A100-80G-sxm4x8", "A100-80GB-SXM"),
        ("V100-32GB", 32.0, "p3dn.24xlarge", "V100-32GB-SXM2"),
        ("A10G", 22.35, "g5.xlarge", "A10G"),
        ("L4", 22.35, "g6.xlarge", "L4"),
        ("B300", 262.0, "1B300.30V", "B300"),
        # gpuhunt
        ("H100NVL", 94.0, "", "H100-NVL"),
        ("RTX6000Ada", 48.0, "", "RTX6000-Ada"),
        ("A6000", 48.0, "", "RTX-A6000"),
    ],
)
def test_names_of_price_lists(name: str, memory_gib: float, hint: str, card: str) -> None:
    found = catalogue_card(name, memory_gib, hint)
    assert found is not None
    assert (found.gpu, found.note) == (card, "")


@pytest.mark.parametrize(
    ("name", "memory_gib"),
    [
        ("RTX 4090", 48.0),  # rebuilt with twice the memory
        ("RTX3060", 8.0),
        ("RTX 4060 Ti", 8.0),
        ("RTX6000", 24.0),  # the Turing one
        ("RTX 4090D", 24.0),
        ("H200 NVL", 141.0),
        ("RTXPRO6000-MaxQ", 96.0),  # half the power
        ("A100X", 80.0),
        ("GH200", 144.0),
        ("V100", None),  # 16 or 32 GB
        ("A100", None),  # 40 or 80 GB
        ("K80", 12.0),
        ("tpu-v5p-8", None),
        ("", None),
        ("=1+1", None),
        ("x" * 10_000, None),
    ],
)
def test_cards_that_the_catalogue_does_not_have(name: str, memory_gib: float | None) -> None:
    assert catalogue_card(name, memory_gib) is None


def test_a_form_that_is_not_said_is_said_to_be_taken() -> None:
    card = catalogue_card("A100", 40.0)
    assert card is not None
    assert card.gpu == "A100-40GB-SXM"
    assert card.note == "SXM or PCIe is not said; A100-40GB-SXM taken"


def test_the_name_decides_over_the_hint() -> None:
    card = catalogue_card("H100 SXM", 80.0, "some_h100_pcie_host")
    assert card is not None and card.gpu == "H100-SXM"


@pytest.mark.parametrize("gpu", list_gpus(), ids=lambda gpu: gpu.name)
def test_each_card_is_found_by_its_own_name_and_memory(gpu) -> None:
    card = catalogue_card(gpu.name, gpu.marketing_gb)
    assert card is not None and card.gpu == gpu.name

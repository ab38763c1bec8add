"""Which card of the catalogue torch's name and memory stand for."""

from __future__ import annotations

import pytest

from planner.catalogue.gpus import list_gpus
from profiler.measure.device.catalogued import catalogued


@pytest.mark.parametrize(
    ("name", "gib", "gpu"),
    [
        ("NVIDIA A100-SXM4-80GB", 79.25, "A100-80GB-SXM"),
        ("NVIDIA A100-SXM4-40GB", 39.49, "A100-40GB-SXM"),
        ("NVIDIA A100 80GB PCIe", 79.14, "A100-80GB-PCIe"),
        ("NVIDIA A100-PCIE-40GB", 39.49, "A100-40GB-PCIe"),
        ("NVIDIA A100", 39.49, "A100-40GB-SXM"),
        ("Tesla T4", 14.56, "T4"),
        ("Tesla V100-SXM2-32GB", 31.74, "V100-32GB-SXM2"),
        ("NVIDIA GeForce RTX 4090", 23.65, "RTX4090"),
        ("NVIDIA GeForce RTX 3060", 11.76, "RTX3060-12GB"),
        ("NVIDIA RTX 6000 Ada Generation", 47.37, "RTX6000-Ada"),
        ("NVIDIA RTX 6000 Ada Generation", 44.43, "RTX6000-Ada"),  # with ECC on
        ("NVIDIA H100 80GB HBM3", 79.11, "H100-SXM"),
        ("NVIDIA H100 PCIe", 79.11, "H100-PCIe"),
        ("NVIDIA H100 NVL", 93.0, "H100-NVL"),
        ("AMD Instinct MI300X", 191.98, "MI300X"),
    ],
)
def test_the_card_is_known(name: str, gib: float, gpu: str) -> None:
    assert catalogued(name, int(gib * 2**30)) == gpu


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19.62),
        ("NVIDIA A100-SXM4-40GB", 19.62),  # a slice under the card's name
        ("NVIDIA GeForce RTX 3060", 7.66),  # the one of 8 GB
        ("Quadro RTX 6000", 23.64),  # Turing
        ("NVIDIA GeForce GTX 1080 Ti", 10.9),
        ("Intel(R) Arc(TM) B580", 11.6),
        ("", 1.0),
    ],
)
def test_the_card_is_not_known(name: str, gib: float) -> None:
    assert catalogued(name, int(gib * 2**30)) is None


def test_every_card_is_found_by_its_own_name_and_memory() -> None:
    for gpu in list_gpus():
        assert catalogued(gpu.name, gpu.torch_total_bytes) == gpu.name

"""The catalogue of GPUs: its data, and names as people type them."""

from __future__ import annotations

from collections import Counter

import pytest

from planner.catalogue import find_gpu, list_gpus
from planner.catalogue.gpus import context_of, read_rows
from planner.catalogue.spelling import squash_gpu
from planner.errors import InputError
from planner.units import GIB, MIB

GPUS = list_gpus()


# -- the data ------------------------------------------------------------------------------------


def test_there_are_35_cards():
    assert len(GPUS) == 35
    assert set(read_rows("memory.csv")) == {gpu.name for gpu in GPUS}


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_card_has_its_sources(gpu):
    assert gpu.source.strip()
    assert gpu.confidence in ("high", "medium", "low")
    assert read_rows("memory.csv")[gpu.name]["confidence"] in ("high", "medium", "low")
    assert gpu.vendor in ("NVIDIA", "AMD")


@pytest.mark.parametrize("row", read_rows("memory.csv").values(), ids=lambda row: row["gpu"])
def test_every_total_says_how_it_is_known(row: dict[str, str]):
    kinds = ("reported: ", "sibling: ", "recalled: ", "estimated: ")
    assert row["torch_basis"].startswith(kinds)
    # a driver's figure is written in one of the two tables, never in both
    if read_rows("gpus.csv")[row["gpu"]]["nvidia_smi_mib"]:
        assert row["driver_mib"] == row["driver_basis"] == ""
    else:
        assert row["driver_basis"].startswith(kinds)


@pytest.mark.parametrize("row", read_rows("contexts.csv").values(), ids=lambda row: row["compute_capability"])
def test_every_context_says_how_it_is_known(row: dict[str, str]):
    assert row["basis"].startswith(("reported: ", "assumed: "))
    assert row["confidence"] in ("high", "medium", "low")
    assert row["basis"].startswith("reported") or row["confidence"] == "low"


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_memory_is_in_range_and_in_order(gpu):
    """The box is within 10 % of the driver's figure, which is above CUDA's, which is above what is usable."""
    assert 0.9 < gpu.memory_bytes / (gpu.marketing_gb * GIB) <= 1.02
    assert gpu.memory_bytes > gpu.torch_total_bytes > gpu.usable_bytes > 0.9 * gpu.memory_bytes
    assert gpu.usable_bytes == gpu.torch_total_bytes - gpu.context_bytes
    assert 0.1 * GIB < gpu.context_bytes < 1.8 * GIB
    assert gpu.memory_bytes % MIB == gpu.torch_total_bytes % MIB == gpu.context_bytes % MIB == 0


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_card_has_a_context_of_its_own_compute_capability(gpu):
    assert gpu.compute_capability in read_rows("contexts.csv")


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_rates_are_dense(gpu):
    """With 2:4 sparsity a vendor's bf16 figure is 4x its TF32 one; dense it is 2x on every card."""
    assert gpu.bandwidth is not None
    assert 200e9 < gpu.bandwidth <= 8000e9
    assert gpu.fp16_tflops is not None
    assert 20 <= gpu.fp16_tflops <= 2500
    if gpu.tf32_tflops is not None:
        assert gpu.fp16_tflops / gpu.tf32_tflops == pytest.approx(2, rel=0.02)
        assert gpu.bf16_tflops == gpu.fp16_tflops
    if gpu.fp8_tflops is not None:
        assert gpu.fp8_tflops / gpu.fp16_tflops == pytest.approx(2, rel=0.03)
    assert gpu.native_bf16 == (gpu.bf16_tflops is not None)
    assert gpu.native_bf16 == (gpu.compute_capability not in ("7.0", "7.5"))


def test_figures_of_data_sheets():
    """NVIDIA's A100 data sheet: 312 TFLOPS dense bf16, 2,039 GB/s for the 80 GB SXM card; T4: no bf16."""
    a100 = find_gpu("A100-80GB-SXM").gpu
    assert (a100.bf16_tflops, a100.bandwidth, a100.memory_bytes) == (312, 2039e9, 81920 * MIB)
    assert find_gpu("t4").gpu.bf16_tflops is None


def test_usable_memory_of_an_a100_by_hand():
    """79.14 GiB in PyTorch's out-of-memory messages, of which 0.51 GiB are not PyTorch's."""
    a100 = find_gpu("a100-80").gpu
    assert a100.usable_bytes / GIB == pytest.approx(79.14 - 0.51, abs=0.001)


@pytest.mark.parametrize("row", read_rows("gpu_aliases.csv").values(), ids=lambda row: row["alias"])
def test_every_alias_names_a_card(row: dict[str, str]):
    assert row["gpu"] in {gpu.name for gpu in GPUS}
    assert find_gpu(row["alias"]).gpu.name == row["gpu"]


def test_no_alias_is_written_twice_or_hides_a_name():
    aliases = Counter(squash_gpu(alias) for alias in read_rows("gpu_aliases.csv"))
    assert [alias for alias, times in aliases.items() if times > 1] == []
    names = {squash_gpu(gpu.name) for gpu in GPUS}
    assert len(names) == 35
    assert names.isdisjoint(aliases)


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("a100-80", "A100-80GB-SXM"),
        ("a100-40gb", "A100-40GB-SXM"),
        ("a100-sxm4-80gb", "A100-80GB-SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB-SXM"),
        ("NVIDIA A100-PCIE-40GB", "A100-40GB-PCIe"),
        ("NVIDIA A100 80GB PCIe", "A100-80GB-PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM"),
        ("NVIDIA H100 PCIe", "H100-PCIe"),
        ("h100-nvl", "H100-NVL"),
        ("h200", "H200-SXM"),
        ("4090", "RTX4090"),
        ("rtx4090", "RTX4090"),
        ("RTX 4090", "RTX4090"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("3090", "RTX3090"),
        ("4070ti", "RTX4070Ti"),
        ("a6000", "RTX-A6000"),
        ("6000-ada", "RTX6000-Ada"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "RTX-PRO-6000"),
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-32GB", "V100-32GB-SXM2"),
        ("a10g", "A10G"),
        ("a10", "A10"),
        ("l40s", "L40S"),
        ("NVIDIA L4", "L4"),
        ("AMD Instinct MI300X", "MI300X"),
        ("b200", "B200"),
    ],
)
def test_names_as_people_type_them(typed: str, name: str):
    assert find_gpu(typed).gpu.name == name


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("a100", "'a100' is ambiguous (40 or 80 GB, SXM or PCIe): A100-80GB-SXM is taken"),
        ("h100", "'h100' is ambiguous (80 GB SXM, 80 GB PCIe or 94 GB NVL): H100-SXM is taken"),
        ("v100", "'v100' is ambiguous (16 or 32 GB): V100-16GB-SXM2 is taken"),
        ("a100-80gb-sxm", None),
        ("4090", None),
    ],
)
def test_an_ambiguous_name_says_which_card_was_taken(typed: str, note: str | None):
    assert find_gpu(typed).note == note


@pytest.mark.parametrize("typed", ["", " ", "nvidia", "a1000", "gtx-1080", "x" * 10_000, "\x00\ud800"])
def test_an_unknown_card_is_one_printable_sentence(typed: str):
    with pytest.raises(InputError, match="is not known; give a name that `lora-plan gpus` lists") as caught:
        find_gpu(typed)
    assert str(caught.value).isprintable()
    assert caught.value.field == "gpu"


def test_a_slip_finds_the_nearest_card():
    with pytest.raises(InputError, match=r"did you mean 'RTX4090'\?"):
        find_gpu("rtx4909")


def test_listing_by_words():
    assert [gpu.name for gpu in list_gpus("amd")] == ["MI300X"]
    assert {gpu.architecture for gpu in list_gpus("hopper")} == {"Hopper"}
    assert [gpu.name for gpu in list_gpus("A100 80GB")] == ["A100-80GB-PCIe", "A100-80GB-SXM"]
    assert list_gpus("no such card") == []


def test_an_unknown_compute_capability_gets_the_largest_context():
    largest = max(int(row["context_mib"]) for row in read_rows("contexts.csv").values())
    assert context_of("99.0")[0] == largest * MIB
    assert context_of("99.0")[1].startswith("assumed")

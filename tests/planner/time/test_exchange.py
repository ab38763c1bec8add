"""What cards tell each other, and what goes over PCIe: bytes and seconds by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.catalogue import find_gpu, list_gpus
from planner.time.exchange import PCIE_GB_S, bytes_sent, exchange, link_rate, offloaded, pcie_rate
from planner.time.rates import efficiency
from planner.time.step import work_profile
from tests.planner.time.timed import architecture_of, run_of, seconds_of, timed

LLAMA = "meta-llama/Llama-2-7b-hf"
PARAMETERS = 6_738_415_616
ADAPTERS = 32 * 16 * (4 * (4096 + 4096) + 3 * (4096 + 11008))


def sent(**fields: object) -> float:
    run = run_of(**{"model": LLAMA, "mixed_precision": "no"} | fields)
    return bytes_sent(work_profile(architecture_of(LLAMA), run), run)


def test_ddp_sums_the_gradients_of_what_is_trained() -> None:
    assert sent(method="full", num_gpus=8, strategy="ddp") == 2 * 7 / 8 * 2 * PARAMETERS
    lora = {"method": "lora", "rank": 16, "target_modules": "all-linear", "adapter_dtype": "float32"}
    assert sent(**lora, num_gpus=2, strategy="ddp") == 2 * 1 / 2 * 4 * ADAPTERS


def test_ddp_sends_once_however_many_micro_batches_there_are() -> None:
    assert sent(method="full", num_gpus=4, strategy="ddp", gradient_accumulation_steps=8) == sent(
        method="full", num_gpus=4, strategy="ddp"
    )


def test_fsdp_gathers_twice_and_scatters_once_for_each_micro_batch() -> None:
    assert sent(method="full", num_gpus=4, strategy="fsdp") == pytest.approx(3 / 4 * 3 * 2 * PARAMETERS)
    assert sent(method="full", num_gpus=4, strategy="fsdp", gradient_accumulation_steps=3) == pytest.approx(
        3 * 3 / 4 * 3 * 2 * PARAMETERS
    )


def test_fsdp_with_a_frozen_base_scatters_the_adapters_gradients_alone() -> None:
    lora = {"method": "lora", "rank": 16, "target_modules": "all-linear", "adapter_dtype": "bfloat16"}
    expected = 1 / 2 * (2 * 2 * (PARAMETERS + ADAPTERS) + 2 * ADAPTERS)
    assert sent(**lora, num_gpus=2, strategy="fsdp") == pytest.approx(expected)


def test_zero2_gathers_what_was_updated() -> None:
    assert sent(method="full", num_gpus=2, strategy="zero2", gradient_accumulation_steps=4) == pytest.approx(
        1 / 2 * (4 * 2 * PARAMETERS + 2 * PARAMETERS)
    )


def test_links_by_their_bandwidth_and_pcie_by_its_generation() -> None:
    shares = replace(efficiency(), link=0.5)
    a100, rtx4090, h100 = (find_gpu(card).gpu for card in ("a100-80", "rtx-4090", "h100"))
    assert link_rate(a100, shares) == 300e9 * 0.5
    assert link_rate(h100, shares) == 450e9 * 0.5
    # through host memory, up and down again
    assert link_rate(rtx4090, shares) == 32e9 * 0.5 / 2
    assert [pcie_rate(find_gpu(card).gpu, shares) for card in ("t4", "a100-80", "h100")] == [8e9, 16e9, 32e9]
    assert {gpu.pcie.partition(" x")[0] for gpu in list_gpus()} <= set(PCIE_GB_S)


def test_a_card_with_fewer_lanes_has_its_part_of_pcie() -> None:
    shares = replace(efficiency(), link=1.0)
    card = find_gpu("rtx-4060-ti").gpu
    assert card.pcie == "4.0 x8"
    assert pcie_rate(card, shares) == 16e9


def test_seconds_of_the_exchange_by_hand() -> None:
    shares = replace(efficiency(), link=0.5, exposed=0.25)
    run = run_of(model=LLAMA, method="full", mixed_precision="no", num_gpus=8, strategy="fsdp")
    profile, gpu = work_profile(architecture_of(LLAMA), run), find_gpu("a100-80").gpu
    [line] = exchange(profile, run, gpu, shares, busy=1.0)
    assert line.name == "exchange"
    assert line.seconds == pytest.approx(7 / 8 * 3 * 2 * PARAMETERS / 150e9 / 4)
    assert "35.4 GB to and from each of 8 cards over NVLink3, 25% of it" in line.text
    # 0.24 s cannot go on beside 0.05 s of work
    [line] = exchange(profile, run, gpu, shares, busy=0.05)
    assert line.seconds == pytest.approx(7 / 8 * 3 * 2 * PARAMETERS / 150e9 - 0.05)


def test_block_inputs_that_wait_in_host_memory_go_there_and_back() -> None:
    """32 inputs of 4096 columns in bfloat16, 2 x 2048 tokens: 1.07 GB."""
    fields = {"model": LLAMA, "mixed_precision": "no", "micro_batch_size": 2, "sequence_length": 2048}
    run = run_of(**fields, checkpoint_offload=True)
    profile = work_profile(architecture_of(LLAMA), run)
    assert offloaded(profile, run) == 32 * 2 * 2048 * 4096 * 2
    kept, moved = timed(**fields), timed(**fields, checkpoint_offload=True)
    expected = 2 * 32 * 2 * 2048 * 4096 * 2 / pcie_rate(find_gpu("a100-80").gpu, efficiency())
    assert seconds_of(moved)["offload"] == pytest.approx(expected)
    assert moved.step_s == pytest.approx(kept.step_s + expected)
    twice = timed(**fields, checkpoint_offload=True, gradient_accumulation_steps=2)
    assert seconds_of(twice)["offload"] == pytest.approx(2 * expected)


def test_one_card_alone_tells_nobody() -> None:
    assert not {"exchange", "offload"} & set(seconds_of(timed()))


def test_a_slower_link_costs_time() -> None:
    """Two A100 over NVLink and the same two over PCIe."""
    linked = find_gpu("a100-80").gpu
    fields = {"model": LLAMA, "method": "full", "num_gpus": 2, "strategy": "fsdp"}
    assert timed(replace(linked, link="", link_bandwidth=None), **fields).step_s > timed(linked, **fields).step_s

"""What is needed off the GPU, by hand."""

from __future__ import annotations

from planner.plan import plan
from planner.run import TrainingRun
from planner.units import GIB


def test_a_lora_run_of_llama_3_1_8b() -> None:
    footprint = plan(TrainingRun(model="llama-3.1-8b", method="lora")).footprint
    tensors = 41_943_040 * 4
    assert tensors < footprint.adapter_file_bytes < tensors + 100_000
    assert footprint.merge_ram_bytes == 2 * 8_030_261_248 + footprint.adapter_file_bytes
    assert footprint.checkpoint_bytes >= footprint.adapter_file_bytes + 2 * tensors
    assert footprint.host_ram_bytes == 3 * GIB + 5 * 10**9


def test_full_fine_tuning_writes_the_model_and_merges_nothing() -> None:
    footprint = plan(TrainingRun(model="gpt2", method="full", base_dtype="float32")).footprint
    assert footprint.adapter_file_bytes == 124_439_808 * 4
    assert footprint.merge_ram_bytes == 0


def test_offloaded_checkpoints_wait_in_host_memory() -> None:
    """32 blocks, 2048 tokens of 4096 values of 2 B."""
    run = TrainingRun(model="llama-3.1-8b")
    offloaded = plan(run.replace(checkpoint_offload=True)).footprint.host_ram_bytes
    assert offloaded - plan(run).footprint.host_ram_bytes == 32 * 2048 * 4096 * 2

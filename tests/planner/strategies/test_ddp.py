"""DDP: one replica a GPU and the reducer's buckets, by hand and beside a real reducer."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from planner.catalogue import find_gpu
from planner.explain import explain
from planner.memory.ledger import Memory
from planner.plan import plan, verdict
from planner.run import TrainingRun
from planner.strategies.communicators import GROUP, PAIR
from planner.units import MIB
from tests.support.real_steps import RealBytes, collector_off, real_model
from tests.support.steps import DECODER

LLAMA = {"model_type": "llama", **DECODER}
ADAPTERS = 4 * 4 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 176))
"""Parameters of LoRA with rank 4 on all linear layers of 4 blocks."""


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA), encoding="utf-8")
    return str(path)


def ledgers(memory: Memory) -> dict[str, dict[str, int]]:
    return {instant.name: instant.components for instant in memory.instants}


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"method": "lora", "rank": 4}, id="LoRA"),
        pytest.param({"method": "lora", "rank": 4, "gradient_accumulation_steps": 4}, id="accumulated"),
        pytest.param({"method": "lora", "rank": 4, "eval_batch_size": 8}, id="evaluated"),
    ],
)
def test_all_instants_of_training_have_the_buckets_besides(fields: dict[str, Any], model: str) -> None:
    alone = ledgers(plan(TrainingRun(model=model, **fields)).memory)
    shared = ledgers(plan(TrainingRun(model=model, num_gpus=8, **fields)).memory)
    assert alone.keys() == shared.keys()
    for name, components in alone.items():
        buckets = 0 if name == "load" else 4 * ADAPTERS
        expected = components | {"gradients": components["gradients"] + buckets}
        if name != "load":
            assert shared[name] == expected


def test_a_real_reducer_has_buckets_of_all_trained_parameters(model: str) -> None:
    run = TrainingRun(model=model, method="lora", rank=4, num_gpus=2, base_dtype="float32", mixed_precision="no")
    buckets = ledgers(plan(run).memory)["end_of_forward"]["gradients"]
    with tempfile.NamedTemporaryFile() as file, collector_off():
        dist.init_process_group("gloo", store=dist.FileStore(file.name, 1), rank=0, world_size=1)
        try:
            real = real_model(LLAMA, run)
            live = RealBytes(list(real.parameters()))
            with live:
                before = live.now
                wrapped = DistributedDataParallel(real, gradient_as_bucket_view=False)
                made = live.now - before
                ids = torch.zeros(1, 8, dtype=torch.long)
                for _ in range(2):  # buckets are rebuilt after the first step
                    wrapped(input_ids=ids, labels=ids, use_cache=False).loss.backward()
                gradients = sum(p.grad.nbytes for p in real.parameters() if p.grad is not None)
                rebuilt = live.now - before - gradients - ids.nbytes
        finally:
            dist.destroy_process_group()
    assert gradients == buckets == 4 * ADAPTERS
    # beside them the map of used parameters, of 4 bytes each
    assert made - buckets in range(5000)
    assert rebuilt - buckets in range(5000)


def test_the_first_broadcast_takes_copies_of_weights() -> None:
    load = ledgers(plan(TrainingRun(model="llama-3.1-8b", num_gpus=8)).memory)["load"]
    assert load["temporaries"] == 2 * 250 * MIB
    assert ledgers(plan(TrainingRun(model="llama-3.1-8b")).memory)["load"]["temporaries"] == 0


def test_nccl_is_neither_allocated_nor_reserved() -> None:
    card = find_gpu("a100-80").gpu
    for gpus, communicator in ((1, 0), (2, PAIR), (8, GROUP)):
        planned = plan(TrainingRun(model="llama-3.1-8b", num_gpus=gpus), card)
        peak = planned.memory.peak_bytes
        assert planned.gpu is not None
        assert peak.process == peak.reserved + card.context_bytes + communicator
        assert planned.gpu.usable_bytes == card.usable_bytes - communicator
        assert planned.gpu.context_bytes == card.context_bytes + communicator


def test_a_run_that_just_fits_one_card_does_not_fit_beside_nccl() -> None:
    run = TrainingRun(model="llama-3.1-8b")
    limit = plan(run, "rtx4090").limits
    assert limit is not None
    full = run.replace(sequence_length=limit.max_seq_len)
    assert plan(full, "rtx4090").verdict == "fits"
    assert plan(full.replace(num_gpus=2), "rtx4090").verdict == "tight"
    several = plan(run.replace(num_gpus=2), "rtx4090").limits
    assert several is not None and limit.max_seq_len is not None and several.max_seq_len is not None
    assert several.max_seq_len < limit.max_seq_len
    longest = run.replace(num_gpus=2, sequence_length=several.max_seq_len)
    assert plan(longest, "rtx4090").verdict == "fits"


def test_a_verdict_without_a_card_in_the_estimate_takes_the_card_as_it_is() -> None:
    memory = plan(TrainingRun(model="llama-3.1-8b", num_gpus=2)).memory
    assert memory.peak_bytes.process is None
    assert verdict(memory, find_gpu("a100-80").gpu) == "fits"


def test_one_gpu_under_ddp_is_one_gpu() -> None:
    alone = plan(TrainingRun(model="llama-3.1-8b"), "a100-80")
    wrapped = plan(TrainingRun(model="llama-3.1-8b", strategy="ddp"), "a100-80")
    assert asdict(alone.memory) == asdict(wrapped.memory)


def test_the_buckets_are_explained() -> None:
    run = TrainingRun(model="llama-3.1-8b", num_gpus=2)
    found = explain(run, "gradients", find_gpu("a100-80").gpu)
    line = next(line for line in found.lines if "buckets" in line.label)
    assert line.bytes == 41_943_040 * 4

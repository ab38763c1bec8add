"""Real steps on the CPU against the simulation and the plan: six families, each trained in full, by LoRA, QLoRA, DoRA.

The slices of two and three layers (or, where kinds of layers alternate, as many turns) stand for models of twelve.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from planner.memory.ledger import Ledgers
from planner.plan import plan
from planner.run import TrainingRun
from profiler.measure.device.cpu import Cpu
from profiler.measure.measure import measure
from profiler.measure.types import DONE, Measurement
from profiler.reconcile import without_runtime
from profiler.simulate.simulate import simulate

LAYERS, DEEP = 4, 12
DECODER: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 2048,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": DECODER,
    "qwen3": DECODER | {"head_dim": 32},
    "gemma2": DECODER | {"head_dim": 32, "sliding_window": 64},
    "phi3": DECODER,
    "gpt_neox": DECODER,
    "gpt2": {
        "n_embd": 128,
        "n_layer": LAYERS,
        "n_head": 4,
        "n_positions": 512,
        "vocab_size": 2048,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
    },
}
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora", "dropout": 0.05},
    "qlora": {"method": "qlora"},
    "dora": {"method": "dora"},
}
CASES = [
    pytest.param(family, method, marks=() if (family, method) == ("llama", "lora") else pytest.mark.slow)
    for family in FAMILIES
    for method in METHODS
]
SLICED = [*((family, "lora") for family in FAMILIES), *(("llama", method) for method in METHODS if method != "lora")]
OF_SIMULATION, OF_PLAN, OF_SLICES = 0.01, 0.03, 0.01
"""What the issue asks for: shares of the measured live peak."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """One thread, which is faster for tensors this small, and no word from bitsandbytes on kernels for the CPU."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


def run_of(family: str, method: str, folder: Path, layers: int = LAYERS) -> TrainingRun:
    depth = {"n_layer" if family == "gpt2" else "num_hidden_layers": layers}
    config = folder / "config.json"
    config.write_text(json.dumps(FAMILIES[family] | depth | {"model_type": family}), encoding="utf-8")
    checkpointing = {"gradient_checkpointing": method != "full"}
    return TrainingRun(model=str(config), sequence_length=128, micro_batch_size=2, **METHODS[method], **checkpointing)


def measured(run: TrainingRun, *, slices: bool) -> Ledgers:
    measurement: Measurement = measure(run, Cpu(), slices=slices, steps=0)
    assert measurement.outcome == DONE and measurement.memory is not None
    assert (measurement.slices is not None) == slices
    return measurement.memory


def peak(ledgers: Ledgers) -> int:
    return max(instant.allocated_bytes for instant in ledgers.instants)


@pytest.mark.parametrize(("family", "method"), CASES)
def test_the_measured_live_peak(family: str, method: str, tmp_path: Path) -> None:
    run = run_of(family, method, tmp_path)
    whole = measured(run, slices=False)
    simulation = simulate(run, live=True).memory
    planned = without_runtime(plan(run).memory)
    assert peak(simulation) == pytest.approx(peak(whole), rel=OF_SIMULATION)
    assert peak(planned) == pytest.approx(peak(whole), rel=OF_PLAN)
    # and not the sum alone: what most of it is for
    at = {instant.name: instant.components for instant in simulation.instants}[whole.instant]
    for component, size in whole.peak.components.items():
        assert at[component] == pytest.approx(size, abs=OF_SIMULATION * peak(whole)), component


@pytest.mark.slow
@pytest.mark.parametrize(("family", "method"), SLICED)
def test_slices_stand_for_the_whole_model(family: str, method: str, tmp_path: Path) -> None:
    run = run_of(family, method, tmp_path, DEEP)
    whole, sliced = measured(run, slices=False), measured(run, slices=True)
    assert peak(sliced) == pytest.approx(peak(whole), rel=OF_SLICES)
    assert sliced.instant == whole.instant

"""FLOPs of a step: those that PyTorch counts in a real one, and those of the formulas that everyone uses."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import peft
import pytest

from planner.architecture.modules import Architecture
from planner.plan import resolve
from planner.run import TrainingRun
from planner.tape.work import ATTENTION, Work
from planner.time.step import flops, product_flops, work_profile
from tests.support.families import architecture_of
from tests.support.flops import real_flops

QUICK = ("llama", "gpt2", "qwen3_moe")
OTHERS = (
    *(
        "bloom",
        "cohere",
        "deepseek",
        "falcon",
        "gemma",
        "gemma2",
        "gemma3",
        "glm",
        "gpt_bigcode",
        "gpt_neox",
        "gpt_oss",
        "gptj",
        "granite",
    ),
    *(
        "granite_moe",
        "llama4",
        "mistral",
        "mixtral",
        "mpt",
        "nemotron",
        "olmo2",
        "olmoe",
        "opt",
        "phi",
        "phi3",
        "phimoe",
    ),
    *("qwen2", "qwen2_moe", "qwen3", "smollm3", "stablelm", "starcoder2"),
)
"""Files of tests/planner/architecture/families whose TINY model has a step."""

ATTENTION_ALONE = ("q_proj", "k_proj", "v_proj", "o_proj")
TARGETS: dict[str, Any] = {"llama4": ATTENTION_ALONE, "phimoe": ATTENTION_ALONE}
"""Families in which PEFT fails on `all-linear`: their routers return tuples."""


def tiny(family: str) -> dict[str, Any]:
    return import_module(f"tests.planner.architecture.families.test_{family}").TINY


def run_of(method: str, family: str = "", **changes: Any) -> TrainingRun:
    adapter = {"rank": 4, "target_modules": TARGETS.get(family, "all-linear")} if method == "lora" else {}
    fields: dict[str, Any] = {
        "model": "tiny",
        "method": method,
        "base_dtype": "float32",
        "mixed_precision": "no",
        "attention": "eager",
        "gradient_checkpointing": False,
        "packing": True,
        "micro_batch_size": 2,
        "sequence_length": 48,
    }
    return TrainingRun(**(fields | adapter | changes))


def ours(architecture: Architecture, run: TrainingRun) -> tuple[float, float]:
    profile = work_profile(architecture, run)
    return flops(profile, run.micro_batch_size, run.sequence_length + profile.virtual_tokens)


def theirs(config: dict[str, Any], run: TrainingRun) -> int:
    adapter = None
    if run.method == "lora":
        targets = run.target_modules if isinstance(run.target_modules, str) else list(run.target_modules or ())
        adapter = peft.LoraConfig(r=run.rank, target_modules=targets, task_type="CAUSAL_LM")
    return real_flops(config, run, peft=adapter)


FAMILIES = [*QUICK, *(pytest.param(family, marks=pytest.mark.slow) for family in OTHERS)]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_flop_of_a_real_step(family: str, method: str, checkpointing: bool) -> None:
    run = run_of(method, family, gradient_checkpointing=checkpointing)
    assert sum(ours(architecture_of(tiny(family)), run)) == theirs(tiny(family), run)


DOWN_PROJ = 4 * 2 * 96 * 176 * 64
LORA_B = 4 * 2 * 96 * 4 * 64
"""FLOPs of the last products in the tiny Llama's four blocks, for 2 x 48 tokens."""


@pytest.mark.parametrize(("targets", "spared"), [("all-linear", LORA_B), (ATTENTION_ALONE, DOWN_PROJ)])
def test_a_checkpoint_that_is_not_reentrant_stops_at_the_last_saved_tensor(targets: Any, spared: int) -> None:
    """What comes after it is not computed again: `down_proj`, in a block that does not train it."""
    again: dict[bool, float] = {}
    for reentrant in (True, False):
        run = run_of("lora", gradient_checkpointing=True, use_reentrant=reentrant, target_modules=targets)
        needed, again[reentrant] = ours(architecture_of(tiny("llama")), run)
        assert needed + again[reentrant] == theirs(tiny("llama"), run)
    assert again[True] - again[False] == spared


@pytest.mark.parametrize("tokens", [(1, 7), (3, 48), (1, 200)])
def test_one_profile_serves_every_batch(tokens: tuple[int, int]) -> None:
    batch, sequence = tokens
    run = run_of("lora", micro_batch_size=batch, sequence_length=sequence)
    assert sum(ours(architecture_of(tiny("llama")), run)) == theirs(tiny("llama"), run)


LLAMA = "meta-llama/Llama-3.1-8B"
LINEAR = 32 * (4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336)
HEAD = 4096 * 128256
ADAPTERS = 32 * 16 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
TOKENS = 2 * 4096


def llama(method: str, **changes: Any) -> tuple[float, float]:
    """FLOPs a token of Llama-3.1-8B at 2 x 4096 tokens with fused attention: needed, and recomputed."""
    run = TrainingRun(
        **{
            "model": LLAMA,
            "method": method,
            "mixed_precision": "no",
            "attention": "flash_attention_2",
            "packing": True,
            "micro_batch_size": 2,
            "sequence_length": 4096,
        }
        | ({"rank": 16, "target_modules": "all-linear"} if method != "full" else {})
        | (changes or {"gradient_checkpointing": True, "use_reentrant": True})
    )
    needed, again = ours(resolve(LLAMA)[1], run)
    return needed / TOKENS, again / TOKENS


CAUSAL = 2 * 4096 * 4096 * 32
"""FLOPs a token of attention forward: two products with half of 4096 keys, 4096 columns each, in 32 layers."""


def test_full_fine_tuning_takes_six_flops_a_parameter_and_recomputing_two() -> None:
    needed, again = llama("full")
    assert needed == pytest.approx(6 * (LINEAR + HEAD) + 3.5 * CAUSAL, rel=1e-9)
    assert again == pytest.approx(2 * LINEAR + CAUSAL, rel=1e-9)


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_frozen_base_takes_four_and_its_adapters_six(method: str) -> None:
    needed, again = llama(method)
    assert needed == pytest.approx(4 * (LINEAR + HEAD) + 6 * ADAPTERS + 3.5 * CAUSAL, rel=1e-9)
    assert again == pytest.approx(2 * (LINEAR + ADAPTERS) + CAUSAL, rel=1e-9)


def test_without_checkpoints_the_first_block_needs_no_gradient_of_what_came_in() -> None:
    needed, again = llama("lora", gradient_checkpointing=False)
    first = 2 * 4096 * (4096 + 2 * 1024) + 2 * 3 * 16 * 4096
    assert needed == pytest.approx(4 * (LINEAR + HEAD) + 6 * ADAPTERS + 3.5 * CAUSAL - first, rel=1e-9)
    assert again == 0


def attention_flops(works: tuple[Work, ...], batch: int, sequence: int) -> float:
    return sum(
        count * product_flops(product, batch, sequence)
        for work in works
        for product, count in work.products
        if product.kind == ATTENTION
    )


@pytest.mark.parametrize(
    ("sequence", "pairs"), [(2048, 2048**2 / 2), (4096, 4096**2 / 2), (8192, 4096 * (8192 - 2048))]
)
def test_a_window_bounds_the_pairs_of_tokens(sequence: int, pairs: float) -> None:
    """Mistral-7B-v0.1: 32 layers of 32 heads of 128, a window of 4096. Beyond it, a triangle and then a band."""
    model = "mistralai/Mistral-7B-v0.1"
    run = TrainingRun(model=model, method="full", attention="flash_attention_2", packing=True, sequence_length=sequence)
    profile = work_profile(resolve(model)[1], run)
    forward = attention_flops((profile.work.forward,), 1, sequence)
    assert forward == pytest.approx(32 * 4 * 32 * 128 * pairs, rel=1e-9)
    assert attention_flops((profile.work.backward,), 1, sequence) == pytest.approx(2.5 * forward, rel=1e-9)


def test_eager_attention_computes_what_the_mask_hides() -> None:
    fused, eager = (
        attention_flops((work_profile(resolve(LLAMA)[1], run).work.forward,), 1, 1024)
        for run in (
            TrainingRun(model=LLAMA, method="lora", attention=attention, packing=True, sequence_length=1024)
            for attention in ("flash_attention_2", "eager")
        )
    )
    assert eager == 2 * fused


def test_mixture_of_experts_counts_the_experts_that_a_token_meets() -> None:
    """Qwen3-30B-A3B: 3.35e9 active parameters by its model card, of them 0.31e9 each in embedding and head."""
    model = "Qwen/Qwen3-30B-A3B"
    run = TrainingRun(
        model=model,
        method="full",
        attention="flash_attention_2",
        packing=True,
        gradient_checkpointing=False,
        micro_batch_size=1,
        sequence_length=64,
    )
    needed, _ = ours(resolve(model)[1], run)
    assert needed / 64 / 6 == pytest.approx(3.35e9 - 151936 * 2048, rel=0.02)

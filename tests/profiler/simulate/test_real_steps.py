"""The simulated stream against the same two steps with real tensors and real kernels, on the CPU.

Compared are the most bytes of the second step's forward and backward pass, the most of its optimizer's step, and the
states: each to the byte. The models have seven layers, of which the simulation traces five (Gemma 2, whose windows
alternate: all seven). Attention is eager, since flash attention has no CPU kernel; dropout, layer norms and
bitsandbytes' operators save on the CPU what they save on CUDA (`tests.support.real_steps`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from planner.run import TrainingRun
from profiler.simulate import stack
from profiler.simulate.traced import trace_run
from tests.support.peft_runs import GPT2
from tests.support.real_steps import (
    BATCH,
    CODE_BOOK,
    COUNTER,
    SEQUENCE,
    Peaks,
    allocated_peak,
    real_peaks,
    simulated_peaks,
    written,
)
from tests.support.steps import DECODER

SEVEN: dict[str, Any] = DECODER | {"num_hidden_layers": 7}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "gemma2": {"head_dim": 16, "sliding_window": 32},
    "phi3": {},
    "gpt_neox": {},
    "olmo2": {},
    "starcoder2": {},
    "qwen3_moe": {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt2": GPT2 | {"n_layer": 7},
    "opt": {
        "hidden_size": 64,
        "ffn_dim": 176,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "max_position_embeddings": 256,
        "word_embed_proj_dim": 64,
        "dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    },
    "falcon": {
        "hidden_size": 64,
        "num_hidden_layers": 7,
        "num_attention_heads": 4,
        "num_kv_heads": 2,
        "new_decoder_architecture": True,
        "bos_token_id": None,
        "eos_token_id": None,
    },
}
OF_ITS_OWN = ("gpt2", "opt", "falcon")
EXPERTS = ("qwen3_moe", "mixtral")

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "base_dtype": "float32"},
    "lora": {"rank": 4, "dropout": 0.1},
    "qlora": {"method": "qlora", "rank": 4},
    "dora": {"method": "dora", "rank": 4},
}
OF_EXPERTS: dict[str, dict[str, Any]] = {
    # PyTorch's shape function of grouped products takes bfloat16 only
    "full": {"method": "full"},
    "qlora": METHODS["qlora"] | {"prepare_kbit": False},
}
ATTENTION = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
"""PEFT has neither dropout nor DoRA for experts in one tensor."""

VOCABULARIES = {"loss decides": 4096, "layers decide": 8}

FAST = ("llama",)
ALLOCATED = ("llama", "gpt2", "gpt_neox", "olmo2")


def config_of(family: str) -> dict[str, Any]:
    own = FAMILIES[family] | {"model_type": family}
    return own if family in OF_ITS_OWN else SEVEN | own


def fields_of(family: str, method: str) -> dict[str, Any]:
    if family not in EXPERTS:
        return METHODS[method]
    targets = {} if method == "full" else ATTENTION
    return OF_EXPERTS.get(method, METHODS[method]) | targets


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For tensors this small, threads that wait for each other take most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def run_of(config: dict[str, Any], fields: dict[str, Any], folder: Path) -> TrainingRun:
    given: dict[str, Any] = {
        "attention": "eager",
        "sequence_length": SEQUENCE,
        "micro_batch_size": BATCH,
        "mixed_precision": "no",
    }
    return TrainingRun(**(given | {"model": written(config, folder)} | fields))


def both(config: dict[str, Any], fields: dict[str, Any], folder: Path) -> tuple[Peaks, Peaks]:
    """Of the real run, and of the simulated one."""
    run = run_of(config, fields, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        real = real_peaks(config, run)
    with stack.quiet():
        traced = trace_run(run)
    assert traced.depth == 7
    assert traced.traced == 5 or config["model_type"] == "gemma2" or fields.keys() & {"checkpoint_every", "method"}
    return real, simulated_peaks(traced.stream)


def assert_same_bytes(config: dict[str, Any], fields: dict[str, Any], folder: Path, on_host: int = 0) -> None:
    """on_host: bytes of optimizer states that a real run on CUDA keeps on the host, which the CPU does not tell."""
    real, simulated = both(config, fields, folder)
    assert simulated == real._replace(states=real.states - on_host)


@pytest.mark.parametrize(
    ("family", "checkpointing", "decides", "method"),
    [
        pytest.param(family, checkpointing, decides, method, marks=() if family in FAST else pytest.mark.slow)
        for family in FAMILIES
        for checkpointing in (False, True)
        for decides in VOCABULARIES
        # of most families two of the four, and QLoRA and DoRA in one of them, to keep the suite short
        if family in FAST or checkpointing == (decides == "layers decide")
        for method in METHODS
        if family in FAST or checkpointing or method in ("full", "lora")
    ],
)
def test_families_and_methods(family: str, method: str, checkpointing: bool, decides: str, tmp_path: Path) -> None:
    config = config_of(family) | {"vocab_size": VOCABULARIES[decides]}
    assert_same_bytes(config, fields_of(family, method) | {"gradient_checkpointing": checkpointing}, tmp_path)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["all kept", "checkpointed"])
@pytest.mark.parametrize("fields", [{"method": "full"}, {"rank": 4}, {"method": "dora", "rank": 4}], ids=str)
@pytest.mark.parametrize(
    "family",
    [family if family in FAST else pytest.param(family, marks=pytest.mark.slow) for family in ALLOCATED],
)
def test_what_the_allocator_saw(
    family: str, fields: dict[str, Any], checkpointing: bool, vocabulary: int, tmp_path: Path
) -> None:
    """Without a dispatch mode, in float32, in which the CPU's kernels take next to no scratch: at most 0.1 %."""
    config = config_of(family) | {"vocab_size": vocabulary}
    run = run_of(config, fields | {"base_dtype": "float32", "gradient_checkpointing": checkpointing}, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        allocated = allocated_peak(config, run)
    with stack.quiet():
        simulated = simulated_peaks(trace_run(run).stream).passes
    assert allocated * 0.999 <= simulated <= allocated


TENSORS = 7 * 7 * 2
"""Trained by LoRA on all linear layers of seven Llama layers."""


@pytest.mark.parametrize(
    ("optimizer", "rank", "on_host"),
    [
        pytest.param("adamw_torch", 4, TENSORS * COUNTER),
        pytest.param("adagrad", 4, TENSORS * COUNTER, marks=pytest.mark.slow),
        pytest.param("adafactor", 4, 0, marks=pytest.mark.slow),
        pytest.param("sgd", 4, 0, marks=pytest.mark.slow),
        pytest.param("adamw_bnb_8bit", 64, 0),
        # no tensor of rank 4 has the 4,096 elements from which states are in 8 bits
        pytest.param("lion_8bit", 4, 2 * CODE_BOOK, marks=pytest.mark.slow),
        pytest.param("ademamix_8bit", 4, 2 * CODE_BOOK, marks=pytest.mark.slow),
    ],
)
def test_optimizers(optimizer: str, rank: int, on_host: int, tmp_path: Path) -> None:
    assert_same_bytes(config_of("llama"), {"optimizer": optimizer, "rank": rank}, tmp_path, on_host)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"method": "full", "optimizer": "adafactor"},
        {"method": "full", "optimizer": "adamw_bnb_8bit"},
        {"use_reentrant": True},
        {"method": "qlora", "use_reentrant": True},
        {"gradient_accumulation_steps": 2},
        {"gradient_accumulation_steps": 2, "method": "full"},
        {"packing": True},
        {"micro_batch_size": 1},
        {"checkpoint_every": 2},
        {"modules_to_save": ["lm_head"]},
        {"trainer": "plain", "gradient_checkpointing": False},
        {"quantization": "int8"},
        {"quantization": "int8", "gradient_checkpointing": False},
        {"method": "ia3"},
    ],
    ids=str,
)
def test_other_settings(fields: dict[str, Any], tmp_path: Path) -> None:
    assert_same_bytes(config_of("llama"), fields, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prompt_tuning", "prefix_tuning"])
def test_virtual_tokens(method: str, tmp_path: Path) -> None:
    """PEFT keeps their 20 indices on the host and copies them to the device for every sequence of a batch, which it
    need not do on the CPU: 0.03 % here."""
    real, simulated = both(config_of("llama"), {"method": method}, tmp_path)
    indices = 20 * 8
    assert simulated == Peaks(real.passes + BATCH * indices, real.update, real.states - indices)

"""A stream assembled from a few layers, against the one of a trace of all of them: event for event.

Compared are the step, the window, the block, the size, the component, the operator and the module of every event.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planner.run import TrainingRun
from profiler.simulate import stack
from profiler.simulate.stream import Stream
from profiler.simulate.trace.trace import AFTER
from profiler.simulate.traced import trace_run
from tests.planner.architecture.families.test_deepseek import TINY as DEEPSEEK_V3
from tests.planner.architecture.families.test_deepseek import V2 as DEEPSEEK_V2
from tests.planner.architecture.families.test_gemma3 import TINY as GEMMA3
from tests.planner.architecture.families.test_gpt_oss import TINY as GPT_OSS
from tests.planner.architecture.families.test_jamba import TINY as JAMBA
from tests.planner.architecture.families.test_llama4 import TINY as LLAMA4
from tests.planner.architecture.families.test_llama4 import WITHOUT_ROUTERS
from tests.planner.architecture.families.test_mllama import config_of as mllama
from tests.planner.architecture.families.test_qwen2_moe import TINY as QWEN2_MOE
from tests.planner.architecture.families.test_smollm3 import TINY as SMOLLM3
from tests.support.peft_runs import GPT2
from tests.support.real_steps import written
from tests.support.steps import DECODER

LLAMA: dict[str, Any] = DECODER | {"model_type": "llama", "num_hidden_layers": 12}
WHOLE: dict[str, Any] = {"gradient_checkpointing": False}
FULL: dict[str, Any] = {"method": "full"} | WHOLE

SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "full, foreach AdamW": (LLAMA, FULL | {"optimizer": "adamw_torch"}, 5),
    "LoRA with dropout": (LLAMA, {"dropout": 0.1}, 5),
    "LoRA, reentrant": (LLAMA, {"use_reentrant": True}, 5),
    "LoRA, every 2nd block": (LLAMA, {"checkpoint_every": 2}, 6),
    "LoRA, every 3rd block": (LLAMA | {"num_hidden_layers": 14}, {"checkpoint_every": 3}, 8),
    "LoRA, offloaded": (LLAMA, {"checkpoint_offload": True}, 5),
    "LoRA, head and embedding": (
        LLAMA,
        {"modules_to_save": ["lm_head"], "target_modules": ["q_proj", "embed_tokens"]},
        5,
    ),
    "LoRA on the upper half": (LLAMA, WHOLE | {"target_modules": r".*layers\.([6-9]|1[01])\.self_attn\.q_proj"}, 11),
    "LoRA on every third layer": (
        LLAMA | {"num_hidden_layers": 14},
        WHOLE | {"target_modules": r".*layers\.(2|5|8|11)\.self_attn\.q_proj"},
        11,
    ),
    "QLoRA, packed": (LLAMA, {"method": "qlora", "packing": True}, 5),
    "LLM.int8()": (LLAMA, {"quantization": "int8"}, 5),
    "DoRA, tied, accumulation and evaluation": (
        LLAMA | {"tie_word_embeddings": True},
        {"method": "dora", "gradient_accumulation_steps": 4, "eval_batch_size": 3},
        5,
    ),
    "Adafactor without clipping, accumulation": (
        LLAMA,
        WHOLE | {"optimizer": "adafactor", "max_grad_norm": 0, "gradient_accumulation_steps": 2},
        5,
    ),
    "prompt tuning": (LLAMA, {"method": "prompt_tuning", "num_virtual_tokens": 8}, 5),
    "GPT-2": (GPT2 | {"n_layer": 12}, FULL | {"base_dtype": "float32"}, 5),
    "Gemma 3, every other within its window": (GEMMA3 | {"num_hidden_layers": 10, "sliding_window": 32}, {}, 6),
    "Qwen 2 MoE, dense layers first": (QWEN2_MOE | {"num_hidden_layers": 12, "mlp_only_layers": [0, 1]}, WHOLE, 7),
    "Qwen 2 MoE, every other layer": (QWEN2_MOE | {"num_hidden_layers": 12, "decoder_sparse_step": 2}, {}, 6),
    "DeepSeek-V3, a buffer in each layer of experts": (DEEPSEEK_V3 | {"num_hidden_layers": 10}, {"method": "full"}, 6),
    "DeepSeek-V2, dense layers first": (
        DEEPSEEK_V2 | {"num_hidden_layers": 10, "first_k_dense_replace": 3},
        WHOLE | {"attention": "eager"},
        8,
    ),
    "Llama 4, chunked": (
        LLAMA4 | {"num_hidden_layers": 14, "attention_chunk_size": 32},
        {"target_modules": WITHOUT_ROUTERS},
        10,
    ),
    "Llama 3.2 Vision, layers that text does not reach": (
        mllama({"num_hidden_layers": 14, "cross_attention_layers": [2, 5, 8, 11]}),
        {},
        8,
    ),
    "GPT-OSS": (GPT_OSS | {"num_hidden_layers": 12}, {"attention": "eager"}, 6),
    "SmolLM 3, every fourth without rotation": (
        SMOLLM3 | {"num_hidden_layers": 12, "no_rope_layers": [1, 1, 1, 0] * 3},
        FULL,
        8,
    ),
}
"""A config, a run, and how many layers show it all."""

FAST = ("LoRA with dropout",)

OUT_OF_ORDER = ("QLoRA, packed",)
"""With the loss goes the chain of autograd functions behind it. Where it is long and bitsandbytes' own, written in
Python (12 layers, but not 10), the three tensors that end with it go in the opposite order. No others do."""


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS]
)
def test_the_assembled_stream_is_that_of_all_layers(name: str, tmp_path: Path) -> None:
    config, fields, kept = SETTINGS[name]
    batch = {"sequence_length": 128, "micro_batch_size": 2}
    run = TrainingRun(**(batch | {"model": written(config, tmp_path)} | fields))
    with stack.quiet():
        few, all_ = trace_run(run), trace_run(run, full_depth=True)
    assert (few.traced, all_.traced) == (kept, all_.depth)
    assert (few.notes, few.layers) == ((), all_.layers)
    if name in OUT_OF_ORDER:
        assert tidied(few.stream) == tidied(all_.stream)
    else:
        assert in_words(few.stream) == in_words(all_.stream)
    assert few.stream.emptied == all_.stream.emptied


@pytest.mark.slow
def test_prefixes_are_let_go_all_at_once(tmp_path: Path) -> None:
    config, fields = LLAMA | {"num_hidden_layers": 8}, {"method": "prefix_tuning", "num_virtual_tokens": 8}
    run = TrainingRun(**({"model": written(config, tmp_path), "sequence_length": 64} | fields))
    with stack.quiet():
        few, all_ = trace_run(run), trace_run(run, full_depth=True)
    assert "all were traced" in few.notes[0]
    assert in_words(few.stream) == in_words(all_.stream)


@pytest.mark.slow
def test_a_model_of_many_kinds_is_traced_whole(tmp_path: Path) -> None:
    """Jamba: attention in one of eight layers, experts in every other."""
    run = TrainingRun(model=written(JAMBA, tmp_path), sequence_length=8)
    with stack.quiet():
        few = trace_run(run)
    assert few.traced == few.depth == 8


def in_words(stream: Stream) -> list[tuple[Any, ...]]:
    """Every event with all that is known of it."""
    ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
    said: list[tuple[Any, ...]] = []
    for stretch, end in zip(stream.stretches, ends, strict=True):
        said.append((stretch.step, stretch.window))
        for event in stream.events[stretch.begins : end]:
            made = stream.made[event.block]
            said.append((*event, made.component, made.operator, made.module, made.recomputed))
    return said


def tidied(stream: Stream) -> list[tuple[Any, ...]]:
    """The same, what is freed between a backward pass and what follows in the order in which it was made."""
    said: list[tuple[Any, ...]] = []
    freed: list[tuple[Any, ...]] | None = None
    for entry in in_words(stream):
        begins = len(entry) == 2
        if begins and freed is not None:
            said += sorted(freed)
            freed = None
        if freed is None:
            said.append(entry)
        else:
            freed.append(entry)
        if begins and entry[1].phase == AFTER:
            freed = []
    return said + sorted(freed or [])

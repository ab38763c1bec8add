"""What fms-acceleration's fused operations and kernels ("foak") patch in a model.

Source: foundation-model-stack/fms-acceleration, `plugins/fused-ops-and-kernels/src/fms_acceleration_foak` (0aab2c6f):
`framework_plugin_fast_kernels.py`, `models/{llama,mistral,utils}.py`. Norms, rotary embedding and loss are patched in
every model; LoRA is fused in quantized ones alone: `q_proj`, `k_proj` and `v_proj` where all three have an adapter,
`o_proj` where it has one. With `foak-liger` head and loss are liger's one function, in foak's own copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING

from planner.errors import Abstention, InputError
from planner.memory.kernels.base import Patches, head_weight
from planner.quantization.bnb_4bit import BLOCK
from planner.quantization.gptq import triton_v2_linear
from planner.run import TrainingRun
from planner.run.rules import LORA_METHODS
from planner.tape import ONE, TOKENS, Tensor, foak, fused, ops
from planner.tape.loss import cross_entropy
from planner.tape.tape import DEQUANTIZED

if TYPE_CHECKING:
    from planner.architecture.modules import Architecture, Module
    from planner.architecture.program import Program
    from planner.memory.forward import BlockForward

COVERED = ("llama", "mistral", "mixtral")
NOT_COVERED = ("gpt_bigcode", "granite", "granitemoe")
"""Families that foak patches, too, but that are in no table."""

O_PROJ = "self_attn.o_proj"
DOWN_PROJ = "mlp.down_proj"


@dataclass(frozen=True, slots=True)
class Foak(Patches):
    """foak's patches of Llama's, Mistral's and Mixtral's modules; of experts it has none."""

    fused_head: bool
    """Whether head and loss are one function."""

    @property
    def fused_loss(self) -> bool:
        return self.fused_head

    def rms_norm(self, x: Tensor, weight: Tensor, *, groups: int) -> Tensor:
        return foak.rms_norm(x, weight)

    def rotary(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        # `Fast_RoPE_Embedding` writes over its input and over its gradient, as liger's does
        return fused.rotary(x, cos, sin)

    def gated(self, forward: BlockForward, gate: str, up: str, x: Tensor, *, activation: str) -> None:
        wraps_all = all(forward.touches(name) for name in (gate, up, DOWN_PROJ))
        if wraps_all and activation == "silu" and _fuses_lora(forward.run):
            raise Abstention(
                "foak's fused LoRA of an MLP cannot run backward as it is published (it multiplies a gradient by a "
                "mask of another width)",
                way_out="leave gate_proj, up_proj or down_proj out of target_modules, or use --kernels hf",
            )

    def qkv(
        self, forward: BlockForward, names: tuple[str, str, str], x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        if not _fuses_lora(forward.run) or not all(forward.touches(name) for name in names):
            return None
        with forward.tape.module("self_attn.qkv"):
            q, k, v = _fused_lora(forward, names, x, over_input=forward.run.quantization != "gptq")
        return q, k, v

    def adapted(self, forward: BlockForward, name: str, x: Tensor) -> Tensor | None:
        if not _fuses_lora(forward.run) or name != O_PROJ:
            return None
        return _fused_lora(forward, (name,), x, over_input=False)[0]

    def quantized(self, forward: BlockForward, module: Module, x: Tensor) -> Tensor | None:
        if forward.run.quantization != "gptq":
            return None
        return triton_v2_linear(x, module.out_features)

    def loss(self, architecture: Architecture, program: Program, forward: BlockForward, hidden: Tensor) -> Tensor:
        if not self.fused_head:
            return foak.cross_entropy(forward.output(program.logits(forward, hidden)))
        if not forward.tape.training:
            return cross_entropy(forward.output(ops.to(program.logits(forward, hidden), "float32")), copies=True)
        run = forward.run
        tokens = run.micro_batch_size * (run.sequence_length - 1)
        rows = fused.chunk_of_tokens(max(tokens, 1), architecture.hidden_size, architecture.vocab_size)
        chunk = TOKENS.times(rows / (run.micro_batch_size * run.sequence_length))
        weight = head_weight(architecture, forward, hidden)
        return foak.fused_linear_cross_entropy(hidden, weight, chunk, ceil(tokens / rows))


def patches_of(run: TrainingRun, model_type: str) -> Foak:
    """What foak patches in a family for a run.

    Raises `Abstention` where that is nothing, or in no table, and `InputError` for a run that it refuses.
    """
    if model_type in NOT_COVERED:
        raise Abstention(f"what foak patches in '{model_type}' is in no table", way_out="use --kernels hf")
    if model_type not in COVERED:
        raise Abstention(f"foak does not patch '{model_type}'", way_out="use --kernels hf")
    if run.method == "ln_tuning":
        raise Abstention("foak's norms make no gradient of their weights, which are all that ln_tuning trains")
    if run.quantization != "none" and run.mixed_precision == "no":
        raise InputError(
            "foak refuses a quantized model without mixed precision; choose mixed_precision bf16 or fp16",
            field="mixed_precision",
        )
    if run.quantization == "gptq" and (run.base_dtype != "float16" or run.mixed_precision != "fp16"):
        raise Abstention(
            "foak expands GPTQ weights to float16, and what products of another dtype take is in no table",
            way_out="choose --base-dtype float16 and --mixed-precision fp16",
        )
    return Foak(fused_head=run.kernels == "foak-liger")


def _fuses_lora(run: TrainingRun) -> bool:
    return run.quantization != "none" and run.method in LORA_METHODS


def _fused_lora(forward: BlockForward, names: tuple[str, ...], x: Tensor, *, over_input: bool) -> list[Tensor]:
    """The modules `names`, which the method wraps, applied to x in one function."""
    run = forward.run
    _check(run, x)
    projections: list[foak.Projection] = []
    for name in names:
        module = forward.module(name)
        if module.bias and run.bias != "none":
            raise Abstention("foak's fused LoRA makes no gradient of a bias", way_out="choose --bias none")
        a = forward.adapter(name, "lora_A.weight", run.rank, module.in_features)
        b = forward.adapter(name, "lora_B.weight", module.out_features, run.rank)
        projections.append(foak.Projection(_expander(forward, module), a, b))
    gptq = run.quantization == "gptq"
    return foak.fused_lora(x, projections, dropout=run.dropout, weights_first=gptq, over_input=over_input)


def _check(run: TrainingRun, x: Tensor) -> None:
    if run.quantization != "gptq" and (run.quantization != "nf4" or not run.double_quant):
        raise Abstention(
            "foak's fused LoRA expands GPTQ weights and NF4 ones with double quantization, and no others",
            way_out="use --quantization nf4-dq, or --kernels hf",
        )
    if run.use_dora:
        raise Abstention("foak's fused LoRA leaves DoRA's magnitude out", way_out="use --kernels hf")
    if x.dtype != x.tape.autocast or run.base_dtype != x.dtype:
        raise Abstention(
            f"what foak's fused LoRA does with a {x.dtype} input and {run.base_dtype} weights inside {x.tape.autocast} "
            "autocast is in no table",
            way_out="load the model in the dtype of mixed_precision, with --no-prepare-kbit",
        )


def _expander(forward: BlockForward, module: Module) -> Callable[[], Tensor]:
    """Expands the quantized weight of `module`: `dequant248`, or `fast_dequantize` with its float32 absmax."""
    tape, run = forward.tape, forward.run

    def expand() -> Tensor:
        weight = tape.new(ONE.times(module.out_features), module.in_features, run.base_dtype, DEQUANTIZED)
        if run.quantization == "nf4":
            absmax = tape.new(ONE.times(ceil(prod(module.weight) / BLOCK)), 1, "float32", "absmax")
            del absmax
        return weight

    return expand

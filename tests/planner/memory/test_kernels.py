"""liger-kernel's modules against a real step with stand-ins that allocate what liger's functions allocate.

Triton kernels only fill buffers that torch has allocated, so a function that makes the same `torch.empty`
calls, saves the same tensors and returns the same buffers has liger's memory, if not its values. The calls
are those of `liger_kernel/ops/*.py` (0.8.5).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import peft
import pytest
import torch
from transformers.models.gemma import modeling_gemma
from transformers.models.llama import modeling_llama

from planner.errors import Abstention
from planner.memory.step import profile_step
from planner.run import TrainingRun
from planner.tape import fused
from tests.planner.architecture.families.test_gemma import TINY as GEMMA
from tests.planner.architecture.families.test_llama import TINY as LLAMA
from tests.support.families import architecture_of, measured_peak, predicted_peak

BATCH, SEQUENCE = 2, 48


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(x)
        ctx.save_for_backward(x, weight, torch.empty(x.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        _, weight, _ = ctx.saved_tensors
        partial = torch.empty(fused.STREAMING_MULTIPROCESSORS, weight.shape[0], dtype=torch.float32)
        return grad, partial.sum(0).to(weight.dtype)


class GatedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return torch.empty_like(gate)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        gate, up = ctx.saved_tensors
        return gate.view_as(gate), up.view_as(up)


class Rope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Any, k: Any, cos: Any, sin: Any) -> Any:
        q, k = q.transpose(1, 2).contiguous(), k.transpose(1, 2).contiguous()
        ctx.save_for_backward(cos, sin)
        return q.transpose(1, 2), k.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, dq: Any, dk: Any) -> Any:
        dq, dk = dq.transpose(1, 2).contiguous(), dk.transpose(1, 2).contiguous()
        return dq.transpose(1, 2), dk.transpose(1, 2), None, None


class FusedLinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        tokens, hidden = x.shape
        vocabulary = weight.shape[0]
        increase = -(-vocabulary // hidden)
        chunk = min(2 ** (-(-tokens // increase) - 1).bit_length(), tokens)
        grad_x = torch.zeros_like(x)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        losses = torch.zeros(tokens, dtype=torch.float32)
        logits = torch.empty(chunk, vocabulary, dtype=x.dtype)
        del logits
        ctx.save_for_backward(grad_x, *([] if grad_weight is None else [grad_weight]))
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        saved = ctx.saved_tensors
        return saved[0], saved[1] if len(saved) > 1 else None


@contextmanager
def liger(modeling: Any, family: str) -> Iterator[None]:
    """The family's modules with the stand-ins in place."""

    def lce_forward(self: Any, input_ids: Any, labels: Any, attention_mask: Any = None, **_: Any) -> Any:
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        hidden = outputs[0]
        loss = FusedLinearCrossEntropy.apply(hidden.view(-1, hidden.shape[-1]), self.lm_head.weight)
        return modeling.CausalLMOutputWithPast(loss=loss)

    with (
        mock.patch.object(
            getattr(modeling, f"{family}RMSNorm"), "forward", lambda self, x: RMSNorm.apply(x, self.weight)
        ),
        mock.patch.object(
            getattr(modeling, f"{family}MLP"),
            "forward",
            lambda self, x: self.down_proj(GatedProduct.apply(self.gate_proj(x), self.up_proj(x))),
        ),
        mock.patch.object(modeling, "apply_rotary_pos_emb", lambda *inputs: Rope.apply(*inputs)),
        mock.patch.object(getattr(modeling, f"{family}ForCausalLM"), "forward", lce_forward),
    ):
        yield


FAMILIES = {
    "llama": (LLAMA, modeling_llama, "Llama"),
    # an MLP wide enough to decide the peak: the scratch of CUDA's attention is not on the CPU
    "gemma": (GEMMA | {"intermediate_size": 512}, modeling_gemma, "Gemma"),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("vocabulary", [512, 8])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_full_step_peak_with_liger(family: str, vocabulary: int, checkpointing: bool) -> None:
    tiny, modeling, prefix = FAMILIES[family]
    config = tiny | {"vocab_size": vocabulary}
    run = TrainingRun(
        model="tiny",
        method="full",
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
        kernels="liger",
        micro_batch_size=BATCH,
        sequence_length=SEQUENCE,
    )
    with liger(modeling, prefix):
        measured = measured_peak(config, run)
    assert predicted_peak(config, run) == pytest.approx(measured, rel=0.003)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_step_peak_with_liger(checkpointing: bool) -> None:
    run = TrainingRun(
        model="tiny",
        method="lora",
        rank=4,
        mixed_precision="no",
        gradient_checkpointing=checkpointing,
        packing=True,
        kernels="liger",
        micro_batch_size=BATCH,
        sequence_length=SEQUENCE,
    )
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    with liger(modeling_llama, "Llama"):
        measured = measured_peak(LLAMA, run, peft=adapter)
    assert predicted_peak(LLAMA, run) == pytest.approx(measured, rel=0.003)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kernels": "unsloth"}, "Unsloth"),
        ({"chunked_loss": True}, "chunked loss"),
    ],
)
def test_kernels_without_a_table(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Abstention, match=reason):
        profile_step(architecture_of(LLAMA), TrainingRun(model="tiny", method="full", **changes))


def test_family_that_liger_does_not_patch() -> None:
    gpt2 = {
        "model_type": "gpt2",
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
        "vocab_size": 64,
        "n_positions": 64,
    }
    with pytest.raises(Abstention, match="does not patch 'gpt2'"):
        profile_step(architecture_of(gpt2), TrainingRun(model="tiny", method="full", kernels="liger"))


def test_head_trained_in_another_dtype_than_its_logits() -> None:
    run = TrainingRun(model="tiny", method="full", base_dtype="float32", mixed_precision="bf16", kernels="liger")
    with pytest.raises(Abstention, match="float32 head inside autocast"):
        profile_step(architecture_of(LLAMA), run)

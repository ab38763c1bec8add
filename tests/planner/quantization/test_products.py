"""What one product with a quantized weight allocates, forward and backward, where the weight decides."""

from __future__ import annotations

from typing import Any
from unittest import mock

import bitsandbytes
import pytest
import torch

from planner.architecture.modules import Module, linear
from planner.memory.wiring import new_tape
from planner.quantization import scheme
from planner.run import TrainingRun
from planner.tape import TOKENS, ops
from planner.tape.size import total
from tests.planner.quantization import cuda_ops
from tests.planner.quantization.real import weight_tensors
from tests.support.live_bytes import LiveBytes

TOKEN_COUNT = 8
WIDE = linear("layer", 768, 512)


def real_peaks(layer: Any, dtype: str) -> tuple[int, int]:
    """Most bytes alive in the forward and in the backward pass of a layer, beside its weight and input."""
    x = torch.randn(TOKEN_COUNT, WIDE.in_features, dtype=getattr(torch, dtype), requires_grad=True)
    live = LiveBytes([x, *weight_tensors(layer)])
    with mock.patch.object(bitsandbytes, "matmul", cuda_ops.matmul), cuda_ops.patched(), live:
        out = layer(x)
        forward, live.peak = live.peak, live.now
        gradient = torch.zeros_like(out)
        out.backward(gradient)
    return forward, live.peak


def our_peaks(module: Module, dtype: str, run: TrainingRun) -> tuple[float, float]:
    """The same from the tape."""
    found = scheme(run.quantization)
    assert found is not None
    tape = new_tape(run)
    x = tape.input(TOKENS, module.in_features, dtype, requires_grad=True)
    start = len(tape.events)
    out = found.linear(module, x, run)
    middle = len(tape.events)
    gradient = tape.new(*ops.meta(out), "gradient")
    tape.backward(out.node, 0, [gradient])
    return tuple(
        max(total(ledger.values()).at(1, TOKEN_COUNT) for ledger in ledgers)
        for ledgers in (tape.peaks(start, middle), tape.peaks(start, len(tape.events), since=middle))
    )  # type: ignore[return-value]


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("double_quant", [False, True])
def test_4bit(double_quant: bool, dtype: str) -> None:
    run = TrainingRun(
        model="tiny", method="lora", quantization="nf4", double_quant=double_quant, mixed_precision="bf16"
    )
    layer = bitsandbytes.nn.Linear4bit(
        WIDE.in_features,
        WIDE.out_features,
        bias=False,
        compute_dtype=torch.bfloat16,
        compress_statistics=double_quant,
        quant_type="nf4",
    )
    layer = layer.to(torch.bfloat16).to("cpu")
    assert our_peaks(WIDE, dtype, run) == real_peaks(layer, dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_int8(dtype: str) -> None:
    run = TrainingRun(model="tiny", method="lora", quantization="int8")
    layer = bitsandbytes.nn.Linear8bitLt(
        WIDE.in_features, WIDE.out_features, bias=False, has_fp16_weights=False, threshold=6.0
    ).to("cpu")
    forward, backward = real_peaks(layer, dtype)
    ours = our_peaks(WIDE, dtype, run)
    assert 0 <= forward - ours[0] <= 2  # booleans that ask whether there are outliers
    assert backward == ours[1]

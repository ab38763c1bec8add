"""bitsandbytes 4-bit (NF4 and FP4), with and without double quantisation.

Source: `bitsandbytes.functional.quantize_4bit` and `QuantState` (0.50): two values a byte; a float32
absmax per block of 64; with double quantisation that absmax is one byte, with a float32 per 256 of
them and one float32 offset. The 16-entry code book (and, double, the 256-entry one) are kept per layer.
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING

from planner.architecture.modules import Module
from planner.tape import Tensor, layers

if TYPE_CHECKING:
    from planner.run import TrainingRun

BLOCK = 64
DOUBLE_BLOCK = 256


def weight_bytes(module: Module, run: TrainingRun) -> int:
    """Bytes of the packed weight and of its `QuantState` (absmax, code books, offset)."""
    count = prod(module.weight)
    blocks = ceil(count / BLOCK)
    packed = ceil(count / 2)
    code = 16 * 4
    if not run.double_quant:
        return packed + 4 * blocks + code
    return packed + blocks + 4 * ceil(blocks / DOUBLE_BLOCK) + code + 256 * 4 + 4


def linear(module: Module, x: Tensor, run: TrainingRun) -> Tensor:
    """`Linear4bit.forward`: it computes in the dtype of a float32 or bfloat16 input, whatever the config
    says (`set_compute_type`), and in the base dtype for float16."""
    dtype = x.dtype if x.dtype in ("float32", "bfloat16") else run.base_dtype
    return layers.dequantized_linear(x, module.in_features, module.out_features, dtype)

"""bitsandbytes 4-bit (NF4 and FP4), with and without double quantization.

Source: `bitsandbytes.functional.quantize_4bit`, `QuantState` and `autograd/_functions.py` (0.50): two values
a byte; a float32 absmax per block of 64; with double quantization that absmax is one byte, with a float32
per 256 of them and one float32 offset. The 16-entry code book (and, double, the 256-entry one) are kept
per layer.
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING

from planner.architecture.modules import Module
from planner.run.precision import compute_dtype
from planner.tape import ONE, Tensor, layers, ops
from planner.tape.tape import DEQUANTIZED, Gradient
from planner.units import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.run import TrainingRun

BLOCK = 64
DOUBLE_BLOCK = 256


def weight_bytes(module: Module, run: TrainingRun) -> int:
    """Bytes of the packed weight and of its `QuantState` (absmax, code books, offset)."""
    count = prod(module.weight)
    blocks = ceil(count / BLOCK)
    packed = (count + 1) // 2
    code = 16 * 4
    if not run.double_quant:
        return packed + 4 * blocks + code
    return packed + blocks + 4 * ceil(blocks / DOUBLE_BLOCK) + code + 256 * 4 + 4


def load_bytes(module: Module, run: TrainingRun) -> int:
    """The weight as it was loaded beside what it becomes; with double quantization the first absmax as well.

    Source: `Bnb4bitQuantize.convert` (transformers 5.23), which copies the transposed weight of a `Conv1D` first, and
    `quantize_4bit` (bitsandbytes 0.50).
    """
    count = prod(module.weight)
    copies = 2 if module.kind == "conv1d" else 1
    first_absmax = 4 * ceil(count / BLOCK) if run.double_quant else 0
    return copies * count * DTYPE_BYTES[run.base_dtype] + weight_bytes(module, run) + first_absmax


def linear(module: Module, x: Tensor, run: TrainingRun) -> Tensor:
    """`Linear4bit.forward`: the weight is expanded for each product, and autograd saves no activation.

    Forward, that is how CUDA's `gemm_4bit` works for more than 1536 tokens (`_dequant_linear_fallback`);
    below that a fused kernel may do without, depending on the card. Backward it always does.
    """
    dtype = compute_dtype(run)
    return ops.to(_product(module, ops.to(x, dtype), run), x.dtype)


def _product(module: Module, x: Tensor, run: TrainingRun) -> Tensor:
    """`MatMul4Bit`."""
    tape = x.tape
    rows, cols = ONE.times(module.out_features), module.in_features
    blocks = ONE.times(ceil(prod(module.weight) / BLOCK))
    double_quant, base_dtype = run.double_quant, run.base_dtype

    # `absmax_dq + absmax_offset`: the first stays in its variable
    absmax = [tape.new(blocks, 1, "float32", "absmax") for _ in range(2 if double_quant else 0)]
    weight = tape.new(rows, cols, x.dtype, DEQUANTIZED)
    out = tape.new(x.rows, module.out_features, x.dtype, "output")
    tape.multiplies(x.rows, cols, module.out_features, x.dtype)
    del absmax, weight
    if tape.records(x):
        before = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            absmax = tape.new(blocks, 1, "float32", "absmax") if double_quant else None
            weight = tape.new(rows, cols, base_dtype, DEQUANTIZED)
            del absmax
            weight = ops.to(weight, grad.dtype)
            return (layers.input_gradient(tape, before, module.out_features),)

        tape.record([out], [x], backward, [])
    return out

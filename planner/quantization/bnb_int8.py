"""bitsandbytes LLM.int8(): weights in 8 bits, products in int8 with activations quantized on the fly.

Source: `bitsandbytes/autograd/_functions.py` (`MatMul8bitLt`) and `backends/{cuda,default}/ops.py` (0.50),
with transformers' threshold of 6.0. How many columns are outliers depends on the data; none is counted.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from planner.architecture.modules import Module
from planner.tape import ONE, Tensor, layers, ops
from planner.tape.tape import DEQUANTIZED, Gradient
from planner.units import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.run import TrainingRun


def weight_bytes(module: Module, run: TrainingRun) -> int:
    """Bytes of the int8 weight (`CB`) and of its float32 absmax per row (`SCB`)."""
    return prod(module.weight) + 4 * module.out_features


def load_bytes(module: Module, run: TrainingRun) -> int:
    """The weight as it was loaded, a float16 copy of it (by way of the host), and what it becomes.

    Source: `Bnb8bitQuantize.convert` (transformers 5.23).
    """
    return prod(module.weight) * (DTYPE_BYTES[run.base_dtype] + 2) + weight_bytes(module, run)


def linear(module: Module, x: Tensor, run: TrainingRun) -> Tensor:
    """`Linear8bitLt.forward`; the result has the dtype of x, under autocast as well.

    `MatMul8bitLt` keeps its input on `ctx` instead of saving it: it lives as long as the graph, past
    its own backward pass, and non-reentrant checkpointing, which discards what is saved, cannot see it.
    Backward expands the weight to the dtype of x.
    """
    tape = x.tape
    quantized, scales = _quantized(x)
    accumulated = tape.new(x.rows, module.out_features, "int32", "int32 product")
    tape.multiplies(x.rows, x.cols, module.out_features, "int8")
    out = tape.new(x.rows, module.out_features, "float16", "float16 product")
    if x.dtype != "float16":
        out = tape.new(x.rows, module.out_features, x.dtype, "output")
    del quantized, scales, accumulated
    tape.keep_on_context(x)
    if tape.records(x):
        before = ops.meta(x)
        rows, cols = ONE.times(module.out_features), module.in_features

        def backward(grad: Tensor) -> tuple[Gradient]:
            weight = tape.new(rows, cols, before.dtype, DEQUANTIZED)
            scale = tape.new(rows, 1, "float32", "row scales")
            del scale
            result = layers.input_gradient(tape, before, module.out_features)
            del weight
            return (result,)

        tape.record([out], [x], backward, [])
    return out


def _quantized(x: Tensor) -> tuple[Tensor, Tensor]:
    """`int8_vectorwise_quant` of a float16 copy: int8 values and a float32 absmax per row.

    Looking for outliers takes the absolute values, for a moment, and a mask.
    """
    tape = x.tape
    half = ops.to(x.detach(), "float16")
    scales = tape.new(x.rows, 1, "float32", "row scales")
    quantized = tape.new(x.rows, x.cols, "int8", "int8 copy")
    absolute = tape.new(x.rows, x.cols, "float16", "absolute values")
    outliers = tape.new(x.rows, x.cols, "int8", "outlier mask")
    del half, absolute, outliers
    return quantized, scales

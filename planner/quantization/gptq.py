"""4-bit GPTQ and AWQ checkpoints, as transformers 5 loads them: through GPTQModel.

Source: `gptqmodel/nn_modules/qlinear/__init__.py` (`_register_gptq_buffers`), `torch.py` and `gemm_awq.py`.
Those kernels need a GPU: what they allocate is read from their code and measured nowhere here.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from planner.architecture.modules import Module
from planner.tape import BATCH, ONE, Tensor, layers, ops
from planner.tape.tape import DEQUANTIZED, Gradient

if TYPE_CHECKING:
    from planner.run import TrainingRun

PACKED = 8
"""4-bit values in an int32."""


def weight_bytes(module: Module, run: TrainingRun) -> int:
    """Bytes of `qweight`, `qzeros` (int32, eight values each), `scales` (16 bits) and GPTQ's `g_idx` (int32).

    There is a zero and a scale per output feature and group of `group_size` input features.
    """
    rows, cols = module.in_features, module.out_features
    groups = ceil(rows / run.group_size) if run.group_size > 0 else 1
    qzeros = 4 * groups * (cols // PACKED)
    scales = 2 * groups * cols
    if run.quantization == "awq":
        return 4 * rows * (cols // PACKED) + qzeros + scales
    return 4 * (rows // PACKED) * cols + qzeros + scales + 4 * rows


def load_bytes(module: Module, run: TrainingRun) -> int:
    """The weight itself: it is quantized in its file."""
    return weight_bytes(module, run)


def linear(module: Module, x: Tensor, run: TrainingRun) -> Tensor:
    """The product with the expanded weight, as the kernels that can train compute it."""
    if run.quantization == "awq":
        return _awq(module, x)
    return triton_v2_linear(x, module.out_features) if run.gptq_kernel == "triton_v2" else _gptq(module, x)


def _gptq(module: Module, x: Tensor) -> Tensor:
    """`TorchQuantLinear` (and Triton's in training): an ordinary product with a weight expanded before it.

    Autograd therefore saves that weight for the backward pass. What the (compiled) expansion takes
    besides its result is not counted.
    """
    weight = x.tape.new(ONE.times(module.out_features), module.in_features, x.dtype, DEQUANTIZED)
    return ops.to(layers.linear(x, weight), x.dtype)


def triton_v2_linear(x: Tensor, outputs: int) -> Tensor:
    """AutoGPTQ's kernel `triton_v2` (`QuantLinearFunction`): the weight is expanded for each product, and none saved.

    Source: fms-acceleration's copy of it, `fms_acceleration_peft/gptqmodel/nn_modules/triton_utils/dequant.py`.
    """
    tape = x.tape
    weight = tape.new(ONE.times(outputs), x.cols, "float16", DEQUANTIZED)
    out = tape.new(x.rows, outputs, x.dtype, "output")
    tape.multiplies(x.rows, x.cols, outputs, x.dtype)
    del weight
    if tape.records(x):
        before = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            weight = tape.new(ONE.times(outputs), before.cols, "float16", DEQUANTIZED)
            result = layers.input_gradient(tape, before, outputs)
            del weight
            return (result,)

        tape.record([out], [x], backward, [])
    return out


def _awq(module: Module, x: Tensor) -> Tensor:
    """`AwqGEMMLinear`: computes in 16 bits and saves its input, though its gradient does not need it.

    The backward product is a `bmm` over a copy of the expanded weight for every sequence of the batch.
    """
    tape, dtype = x.tape, x.dtype
    source = ops.to(x, "float16") if dtype == "float32" else x
    rows, cols = ONE.times(module.out_features), module.in_features
    weight = tape.new(rows, cols, source.dtype, DEQUANTIZED)
    out = tape.new(x.rows, module.out_features, source.dtype, "output")
    tape.multiplies(x.rows, cols, module.out_features, source.dtype)
    del weight
    if tape.records(source):

        def backward(grad: Tensor, saved: Tensor = source) -> tuple[Gradient]:
            weight = tape.new(rows, cols, grad.dtype, DEQUANTIZED)
            repeated = tape.new(BATCH.times(module.out_features), cols, grad.dtype, "repeated weight")
            result = layers.input_gradient(tape, ops.meta(saved), module.out_features)
            del weight, repeated
            return (result,)

        tape.record([out], [source], backward, [source])
    return ops.to(out, dtype)

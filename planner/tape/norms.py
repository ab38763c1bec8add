"""Norms that some families write themselves.

The plain ones, `native_layer_norm` and Llama's RMS norm, are in `planner.tape.layers`.
"""

from __future__ import annotations

from planner.tape import layers, ops
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def subtract(a: Tensor, b: Tensor) -> Tensor:
    """`a - b`, b broadcast. Saves nothing; the gradient of b is negated in full before it is summed."""
    tape = a.tape
    out = tape.new(a.rows, a.cols, ops.promote(a.dtype, b.dtype), "difference")
    if tape.records(a, b):
        first, second = ops.meta(a), ops.meta(b)
        needs_first, needs_second = a.requires_grad, b.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            negated = tape.new(*ops.meta(grad), "negated gradient") if needs_second else None
            grad_a = ops.reduced(grad, first) if needs_first else None
            if negated is not None:
                negated = ops.reduced(negated, second)
            return grad_a, negated

        tape.record([out], [a, b], backward, [])
    return out


def cohere_layer_norm(x: Tensor, weight: Tensor, *, groups: int = 1) -> Tensor:
    """`CohereLayerNorm`: a layer norm without bias in float32 tensor operations.

    groups: heads, when each head is normalised apart. Source: `modeling_cohere.py` (transformers 5.23).
    """
    dtype = x.dtype
    x = ops.to(x, "float32")
    mean = ops.mean(x, groups)
    variance = ops.mean(ops.square(subtract(x, mean)), groups)
    x = ops.mul(subtract(x, mean), ops.saves_output(ops.shift(variance), "rsqrt"))
    x = ops.mul(ops.to(weight, "float32"), x)
    return ops.to(x, dtype)


def layer_norm_1p(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`NemotronLayerNorm1P`: a layer norm whose weight is stored less one; weight + 1 is a saved copy.

    Under autocast it casts everything to the 16-bit dtype and runs `F.layer_norm` outside of autocast.
    """
    tape = x.tape
    weight = ops.shift(weight)
    autocast = tape.autocast
    if autocast:
        x, weight = ops.to(x, autocast), ops.to(weight, autocast)
        bias = ops.to(bias, autocast) if bias is not None else None
    tape.autocast = None
    try:
        return layers.layer_norm(x, weight, bias)
    finally:
        tape.autocast = autocast

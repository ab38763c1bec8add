"""Gemma's RMS norm and soft-capping."""

from __future__ import annotations

from planner.tape import ops
from planner.tape.tensor import Tensor


def rms_norm(x: Tensor, weight: Tensor, *, groups: int = 1) -> Tensor:
    """`GemmaRMSNorm.forward`: float32 up to and including the product with `1 + weight`.

    groups: heads, when each head is normalised apart. Where the weight is trained, autograd keeps the
    normalised x too, and in any case the float32 sum `1 + weight`.
    """
    dtype = x.dtype
    out = normalized(ops.to(x, "float32"), groups)
    out = ops.mul(out, ops.shift(ops.to(weight, "float32"), "one plus weight"))
    return ops.to(out, dtype)


def normalized(x: Tensor, groups: int) -> Tensor:
    """`x * rsqrt(mean(x**2) + eps)`, over each of `groups` heads; keeps x and the root."""
    return ops.mul(x, ops.saves_output(ops.shift(ops.mean(ops.square(x), groups)), "rsqrt"))


def softcap(x: Tensor) -> Tensor:
    """`tanh(x / cap) * cap` in three operations: autograd keeps the tanh."""
    x = ops.scale(x, "logits over the cap")
    x = ops.saves_output(x, "tanh")
    return ops.scale(x, "soft-capped logits")

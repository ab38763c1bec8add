"""Attention as single families write it, and operators that only they use.

q, k and v are as in `planner.tape.attention`.
"""

from __future__ import annotations

from planner.tape import ops
from planner.tape.attention import Heads
from planner.tape.size import SCORES, Size
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def add_in_place(a: Tensor, b: Tensor) -> Tensor:
    """`a += b` with a result in a's memory. Saves nothing; the gradient passes through to both."""
    tape = a.tape
    out = Tensor(tape, a.rows, a.cols, a.dtype, storage=a.storage)
    if tape.records(a, b):
        target = ops.meta(b)
        needs_b = b.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return grad, ops.reduced(grad, target) if needs_b else None

        tape.record([out], [a, b], backward, [])
    return out


def scale_in_place(x: Tensor) -> Tensor:
    """`x *= number` or `x /= number`: in x's memory forward, a new buffer backward."""
    tape = x.tape
    out = Tensor(tape, x.rows, x.cols, x.dtype, storage=x.storage)
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient"),)

        tape.record([out], [x], backward, [])
    return out


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """`x.masked_fill(mask, number)`: saves the mask."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "masked")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = mask) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient"),)

        tape.record([out], [x], backward, [mask])
    return out


def baddbmm(a: Tensor, b: Tensor, rows: Size, cols: int) -> Tensor:
    """`bias.baddbmm(a, b, alpha=number)`, bias without gradient: each gradient is a product, then scaled."""
    tape = a.tape
    if tape.autocast:
        a, b = ops.to(a, tape.autocast), ops.to(b, tape.autocast)
    out = tape.new(rows, cols, a.dtype, "attention scores")
    first, second, result = ops.meta(a), ops.meta(b), ops.meta(out)
    ops.count_product(tape, first, second, result)
    if tape.records(a, b):
        saved_a = a if b.requires_grad else None
        saved_b = b if a.requires_grad else None

        def gradient(of: ops.Meta) -> Tensor:
            made = tape.new(*of, "gradient")
            ops.count_product(tape, first, second, result)
            return made

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            grad_a = ops.scale(gradient(first)) if saved_b is not None else None
            grad_b = ops.scale(gradient(second)) if saved_a is not None else None
            return grad_a, grad_b

        tape.record([out], [a, b], backward, [x for x in (saved_a, saved_b) if x is not None])
    return out


def scores(q: Tensor, k: Tensor, heads: Heads) -> Tensor:
    """`q @ k.transpose(-1, -2)`, for operands in which batch and heads lie together."""
    tape = q.tape
    if tape.autocast:
        q, k = ops.to(q, tape.autocast), ops.to(k, tape.autocast)
    return ops.matmul(q, k, SCORES, heads.heads, "attention scores")


def weighted(weights: Tensor, v: Tensor, heads: Heads) -> Tensor:
    """`weights @ v`, for operands in which batch and heads lie together."""
    tape = v.tape
    if tape.autocast:
        weights, v = ops.to(weights, tape.autocast), ops.to(v, tape.autocast)
    return ops.matmul(weights, v, v.rows, heads.heads * heads.value_dim, "attention output")

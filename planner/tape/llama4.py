"""Llama 4's own operations: complex rotary embedding, norms without weights, routing of every token.

Source: `transformers/models/llama4/modeling_llama4.py` (5.23).
"""

from __future__ import annotations

from planner.tape import gemma, ops
from planner.tape.layers import autocast_input, autocast_weight
from planner.tape.moe import top_k
from planner.tape.size import SEQUENCE
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor

Table = tuple[Tensor, Tensor]
"""The complex64 rotary table S x head_dim/2, as its real and its imaginary half in float32."""


def complex_rotary(q: Tensor, k: Tensor, table: Table) -> tuple[Tensor, Tensor]:
    """`apply_rotary_emb`: pairs of columns as complex float32 numbers, turned, and cast back."""
    q_complex, k_complex = ops.to(q, "float32"), ops.to(k, "float32")
    q_out = _turned(q_complex, table)
    k_out = _turned(k_complex, table)
    return ops.to(q_out, q.dtype), ops.to(k_out, k.dtype)


def _turned(x: Tensor, table: Table) -> Tensor:
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "rotated")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Table = table) -> tuple[Gradient]:
            # a product with a lazy conjugate makes the conjugate first
            conjugate = [tape.new(*ops.meta(half), "conjugate of the rotary table") for half in saved]
            result = tape.new(*shape, "gradient")
            del conjugate
            return (result,)

        tape.record([out], [x], backward, list(table))
    return out


def l2_norm(x: Tensor, *, groups: int) -> Tensor:
    """`Llama4TextL2Norm`: an RMS norm without a weight, over each of `groups` heads."""
    return ops.to(gemma.normalized(ops.to(x, "float32"), groups), x.dtype)


def tune_temperature(q: Tensor) -> Tensor:
    """q times a float32 scale per position, cast back."""
    scales = q.tape.new(SEQUENCE, 1, "float32", "temperature of each position")
    return ops.to(ops.mul(q, scales), q.dtype)


def router_scores(logits: Tensor, k: int) -> Tensor:
    """`Llama4Router.forward` after its product: sigmoid of the k largest logits, 0 for the other experts."""
    values, indices = top_k(logits, k)
    scores = _scattered(values, indices, logits.cols)
    return ops.to(ops.saves_output(ops.to(scores, "float32"), "sigmoid"), scores.dtype)


def _scattered(values: Tensor, indices: Tensor, cols: int) -> Tensor:
    """`full_like(...).scatter_(1, indices, values)`: saves the indices."""
    tape = values.tape
    out = tape.new(values.rows, cols, values.dtype, "router scores")
    if tape.records(values):
        shape = ops.meta(values)

        def backward(grad: Tensor, saved: Tensor = indices) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the scattered"),)

        tape.record([out], [values], backward, [indices])
    return out


def repeat_rows(x: Tensor, times: int) -> Tensor:
    """`x.repeat(times, 1)`: saves nothing; the gradients of the copies are summed."""
    tape = x.tape
    out = tape.new(x.rows.times(times), x.cols, x.dtype, "tokens for every expert")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient sum"),)

        tape.record([out], [x], backward, [])
    return out


def batched_linear(x: Tensor, weight: Tensor, cols: int) -> Tensor:
    """`torch.bmm` of every expert's rows with its matrix; autocast runs it in the 16-bit dtype."""
    return ops.matmul(autocast_input(x), autocast_weight(weight), x.rows, cols, "output of the experts")

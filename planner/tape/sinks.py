"""Eager attention with a learned sink per head, as in GPT-OSS.

Source: `eager_attention_forward` in `transformers/models/gpt_oss/modeling_gpt_oss.py` (5.23).
"""

from __future__ import annotations

from planner.tape import ops
from planner.tape.attention import Heads, operand
from planner.tape.norms import subtract
from planner.tape.size import SCORES, TOKENS, Size
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def sink_attention(
    q: Tensor, k: Tensor, v: Tensor, sinks: Tensor, heads: Heads, *, mask: Tensor | None, dropout: float
) -> tuple[Tensor, Tensor]:
    """Attention and its weights.

    Every row of scores gets one column more, its sink, which the softmax counts and the product drops. The rotary
    embedding has left q and k head by head (`torch.cat`).
    """
    groups = heads.heads // heads.kv_heads
    k = ops.expand_copy(k, groups)
    v = ops.expand_copy(v, groups)
    rows = SCORES if mask is None else mask.rows
    weights = ops.scale(
        ops.matmul(operand(q, True), operand(k, True), rows, heads.heads, "attention scores"), "scaled scores"
    )
    if mask is not None:
        weights = ops.add(weights, mask)
    combined = _with_sinks(weights, sinks)
    combined = subtract(combined, _row_maximum(combined, heads))
    probabilities = ops.softmax(combined, combined.dtype)
    scores = _without_sinks(probabilities, weights.rows)
    weights = ops.to(ops.dropout(scores, dropout), v.dtype)
    out = ops.matmul(
        operand(weights, True),
        operand(v, groups > 1),
        q.rows,
        heads.heads * heads.value_dim,
        "attention output",
    )
    return ops.contiguous(out), weights


def _with_sinks(weights: Tensor, sinks: Tensor) -> Tensor:
    """`torch.cat([weights, sinks], -1)` of the sinks expanded to every row."""
    tape = weights.tape
    rows = weights.rows.plus(TOKENS)
    out = tape.new(rows, weights.cols, ops.promote(weights.dtype, sinks.dtype), "scores with sinks")
    if tape.records(weights, sinks):
        shape, sink_shape = ops.meta(weights), ops.meta(sinks)
        needs_weights, needs_sinks = weights.requires_grad, sinks.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return (
                grad.view(shape.rows, shape.cols) if needs_weights else None,
                tape.new(*sink_shape, "gradient sum") if needs_sinks else None,
            )

        tape.record([out], [weights, sinks], backward, [])
    return out


def _row_maximum(x: Tensor, heads: Heads) -> Tensor:
    """`x.max(-1, keepdim=True).values`: saves the int64 indices."""
    tape = x.tape
    out = tape.new(TOKENS, heads.heads, x.dtype, "row maximum")
    indices = tape.new(TOKENS, heads.heads, "int64", "indices of the maximum")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = indices) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the maximum"),)

        tape.record([out], [x], backward, [indices])
    return out


def _without_sinks(x: Tensor, rows: Size) -> Tensor:
    """`x[..., :-1]`: a view, whose gradient is copied into zeros."""
    tape = x.tape
    out = x.view(rows, x.cols)
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of a slice"),)

        tape.record([out], [x], backward, [])
    return out

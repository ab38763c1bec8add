"""Attention implementations: what each keeps for the backward pass.

q is T x heads*head_dim, k and v are T x kv_heads*head_dim (T = B*S tokens). The names are those of
`attn_implementation` in transformers.
"""

from __future__ import annotations

from typing import NamedTuple

from planner.tape import ops
from planner.tape.size import SCORES
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


class Heads(NamedTuple):
    """Head counts and widths of one attention layer."""

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int


def fused_attention(q: Tensor, k: Tensor, v: Tensor, heads: Heads, mask: Tensor | None = None) -> Tensor:
    """Flash or memory-efficient attention: saves q, k, v, the output and a float32 log-sum-exp per row.

    The backward kernel adds a float32 accumulator the size of q, a float32 row per token and head, and,
    with grouped heads, gradients of k and v at the full number of heads before they are summed
    (`csrc/flash_attn/flash_api.cpp`, `mha_bwd`). A boolean mask becomes an additive one in q's dtype,
    at every call, which is saved (`_safe_convert_attn_mask`, `scaled_dot_product_attention`).
    """
    tape = q.tape
    out = tape.new(q.rows, heads.heads * heads.value_dim, q.dtype, "attention output")
    logsumexp = tape.new(q.rows, heads.heads, "float32", "attention log-sum-exp")
    bias = tape.new(mask.rows, mask.cols, q.dtype, "additive mask") if mask is not None else None
    if tape.records(q, k, v):
        q_shape, k_shape, v_shape = ops.meta(q), ops.meta(k), ops.meta(v)
        kept = out.detach()
        grouped = k.cols < heads.heads * heads.head_dim

        def backward(
            grad: Tensor, saved: tuple[Tensor | None, ...] = (q, k, v, kept, logsumexp, bias)
        ) -> tuple[Gradient, Gradient, Gradient]:
            grad_q = tape.new(*q_shape, "gradient of q")
            grad_k = tape.new(*k_shape, "gradient of k")
            grad_v = tape.new(*v_shape, "gradient of v")
            rowsum = tape.new(q_shape.rows, heads.heads, "float32", "attention backward rows")
            accumulator = tape.new(q_shape.rows, q_shape.cols, "float32", "attention backward accumulator")
            if grouped:
                full_k = tape.new(q_shape.rows, heads.heads * heads.head_dim, k_shape.dtype, "ungrouped dk")
                full_v = tape.new(q_shape.rows, heads.heads * heads.value_dim, v_shape.dtype, "ungrouped dv")
                del full_k, full_v
            del rowsum, accumulator
            return grad_q, grad_k, grad_v

        saved = [q, k, v, out, logsumexp]
        tape.record([out], [q, k, v], backward, saved if bias is None else [*saved, bias])
    return out


def eager_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: Heads,
    *,
    mask: Tensor | None,
    dropout: float,
    softcap: bool = False,
    upcast: bool = True,
    head_major: bool = False,
) -> Tensor:
    """Attention in tensor operations (`eager_attention_forward`): every step of it is T*S per head wide.

    upcast: the softmax is taken in float32, as in most families. head_major: q and k lie in memory head by
    head, not token by token. `torch.matmul` copies what does not, to take batch and heads together.
    """
    groups = heads.heads // heads.kv_heads
    k = ops.expand_copy(k, groups)
    v = ops.expand_copy(v, groups)
    dtype = q.dtype
    k_ready = head_major or groups > 1
    rows = SCORES if mask is None else mask.rows
    weights = ops.scale(
        ops.matmul(operand(q, head_major), operand(k, k_ready), rows, heads.heads, "attention scores"),
        "scaled scores",
    )
    if softcap:
        weights = ops.scale(weights)
        weights = ops.saves_output(weights, "tanh")
        weights = ops.scale(weights)
    if mask is not None:
        weights = ops.add(weights, mask)
    weights = ops.to(ops.softmax(weights, "float32" if upcast else None), dtype)
    weights = ops.dropout(weights, dropout)
    out = ops.matmul(
        operand(weights, True),
        operand(v, groups > 1),
        q.rows,
        heads.heads * heads.value_dim,
        "attention output",
    )
    return ops.contiguous(out)


def operand(x: Tensor, ready: bool) -> Tensor:
    """An operand of `torch.matmul`: in autocast's dtype, copied where batch and heads do not lie together."""
    if x.tape.autocast and x.dtype != x.tape.autocast:
        return ops.to(x, x.tape.autocast)
    return x if ready else ops.contiguous(x)


def rotary(x: Tensor, cos: Tensor, sin: Tensor, *, width: int | None = None) -> Tensor:
    """`apply_rotary_pos_emb` for q or k: x*cos + rotate_half(x)*sin.

    width: how many of the columns are rotated (`partial_rotary_factor`); the rest is concatenated back.
    """
    if width is not None and width < x.cols:
        turned, passed = ops.narrow(x, width), ops.narrow(x, x.cols - width)
        return ops.cat([_rotated(turned, cos, sin), passed])
    return _rotated(x, cos, sin)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return ops.add(ops.mul(x, cos), ops.mul(rotate_half(x), sin))


def rotate_half(x: Tensor) -> Tensor:
    """cat(-x2, x1) of the two halves of each head."""
    first, second = ops.narrow(x, x.cols // 2), ops.narrow(x, x.cols - x.cols // 2)
    return ops.cat([ops.scale(second, "negated half"), first])

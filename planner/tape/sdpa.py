"""`scaled_dot_product_attention`: which of CUDA's kernels it takes, and what each one keeps and allocates.

The choice follows `sdp_utils.cpp` of PyTorch 2.13 on compute capability 8.0: where cards differ (the blocks of
the efficient kernel above a head_dim of 64), A100 and H100 stand for all. q, k and v are as in
`planner.tape.attention`.

Approximated: the kernels round the rows of a sequence up to whole blocks of 64 or 128, which for other lengths is
up to 127 rows more of a float32 q per sequence; and H100's cuDNN kernels count as flash attention.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from planner.tape import ops
from planner.tape.attention import Heads, batched
from planner.tape.attention_variants import add_in_place
from planner.tape.size import ONE, SCORES, Size, total
from planner.tape.tape import Gradient, Tape
from planner.tape.tensor import Tensor
from planner.units import DTYPE_BYTES

Kernel: TypeAlias = Literal["flash", "efficient", "math"]

BACKWARD_PRODUCTS = 2.5
"""Five products in the backward pass for two in the forward pass: scores again, dv, dp, dq and dk."""

_CONCURRENT_BLOCKS = 200
"""Blocks of keys that the efficient kernel's backward pass has in work (`getNumSplitsKey`)."""


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    heads: Heads,
    *,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    enable_gqa: bool = False,
    head_major: bool = False,
) -> Tensor:
    """The composite operator (`aten/src/ATen/native/transformers/attention.cpp`), causal where it has no mask.

    mask: a boolean one, which becomes an additive one in q's dtype at every call (`convert_boolean_attn_mask`), or
    an additive one.
    head_major: q lies in memory head by head. The result lies token by token, as its caller needs it: flash
    attention lays it out like q (`mha_fwd`), the efficient kernel by token, a product head by head.
    """
    if q.tape.autocast:
        q, k, v = (ops.to(x, q.tape.autocast) for x in (q, k, v))
    kernel = choose_kernel(q.dtype, heads, masked=mask is not None, enable_gqa=enable_gqa)
    if kernel == "flash":
        out = flash_attention(q, k, v, heads)
        return ops.contiguous(out) if head_major else out
    bias = None
    if mask is not None:
        bias = (
            q.tape.new(mask.rows, mask.cols, q.dtype, "additive mask")
            if mask.dtype == "int8"
            else ops.to(mask, q.dtype)
        )
    if kernel == "efficient":
        return efficient_attention(q, k, v, heads, bias)
    return ops.contiguous(math_attention(q, k, v, heads, bias, dropout=dropout, enable_gqa=enable_gqa))


def choose_kernel(dtype: str, heads: Heads, *, masked: bool, enable_gqa: bool) -> Kernel:
    """The first of flash, efficient and math that can run these inputs (`select_sdp_backend`).

    Flash takes 16-bit heads up to 256 wide and no mask (`check_head_dim_size_flash`, `check_for_attn_mask`); the
    efficient kernel rows of whole 16 bytes (`check_head_dim_size_mem_efficient`) and no grouped heads
    (`check_batch_size_and_num_heads_dense`).
    """
    same_heads = heads.heads == heads.kv_heads
    half = DTYPE_BYTES[dtype] == 2
    if half and not masked and (same_heads or enable_gqa) and heads.head_dim == heads.value_dim <= 256:
        return "flash"
    alignment = 16 // DTYPE_BYTES[dtype]
    if same_heads and heads.head_dim % alignment == 0 and heads.value_dim % alignment == 0:
        return "efficient"
    return "math"


def flash_attention(q: Tensor, k: Tensor, v: Tensor, heads: Heads, window: int | None = None) -> Tensor:
    """Saves q, k, v, the output and a float32 log-sum-exp per row; heads are padded to a multiple of 8 columns.

    The backward kernel adds a float32 accumulator of q in columns of 32 (64 above 128), a float32 row per token
    and head, and, with grouped heads, gradients of k and v at the full number of heads before they are summed
    (`csrc/flash_attn/flash_api.cpp`, `mha_bwd`). Values narrower than keys are padded by transformers.
    """
    tape = q.tape
    width = _up(heads.head_dim, 8)
    q, k, v = _padded(q, heads.heads, width), _padded(k, heads.kv_heads, width), _padded(v, heads.kv_heads, width)
    out = tape.new(q.rows, heads.heads * width, q.dtype, "attention output")
    logsumexp = tape.new(q.rows, heads.heads, "float32", "attention log-sum-exp")
    flops, moved = _products(q, k, heads, causal=True), total(x.size for x in (q, k, v, out))
    tape.attends(flops, moved, q.dtype, window)
    if tape.records(q, k, v):
        q_shape, k_shape, v_shape = ops.meta(q), ops.meta(k), ops.meta(v)
        dtype = q.dtype
        columns = heads.heads * _up(width, 32 if width <= 128 else 64)
        grouped = heads.kv_heads < heads.heads

        def backward(
            grad: Tensor, saved: tuple[Tensor, ...] = (q, k, v, out.detach(), logsumexp)
        ) -> tuple[Gradient, Gradient, Gradient]:
            gradients = tuple(tape.new(*shape, "gradient of q, k or v") for shape in (q_shape, k_shape, v_shape))
            scratch = [
                tape.new(q_shape.rows, heads.heads, "float32", "attention backward rows"),
                tape.new(q_shape.rows, columns, "float32", "attention backward accumulator"),
            ]
            if grouped:
                full = heads.heads * width
                scratch += [tape.new(k_shape.rows, full, k_shape.dtype, f"ungrouped {name}") for name in ("dk", "dv")]
            del scratch
            tape.attends(flops.times(BACKWARD_PRODUCTS), moved.times(2), dtype, window)
            return gradients[0], gradients[1], gradients[2]

        tape.record([out], [q, k, v], backward, [q, k, v, out, logsumexp])
    return out if width == heads.value_dim else ops.narrow(out, heads.heads * heads.value_dim)


def _products(q: Tensor, k: Tensor, heads: Heads, *, causal: bool) -> Size:
    """FLOPs of q @ k.T and weights @ v; causal: of the pairs that the mask leaves, half of them.

    Every token meets those of its own sequence; patches of an image (rows without tokens) all of its own.
    """
    per_pair = 2 * heads.heads * (heads.head_dim + heads.value_dim)
    if q.rows.tokens:
        return SCORES.times(q.rows.tokens * per_pair * (0.5 if causal else 1))
    return q.rows.times(max(k.rows.batch, k.rows.constant) * per_pair)


def _padded(x: Tensor, heads: int, width: int) -> Tensor:
    """`pad_last_dim`: every head of x in `width` columns."""
    if x.cols == heads * width:
        return x
    tape = x.tape
    out = tape.new(x.rows, heads * width, x.dtype, "padded heads")
    if tape.records(x):
        tape.record([out], [x], ops.fresh(tape, ops.meta(x)), [])
    return out


def efficient_attention(q: Tensor, k: Tensor, v: Tensor, heads: Heads, bias: Tensor | None) -> Tensor:
    """The memory-efficient kernel: saves q, k, v, the mask, the output and a float32 log-sum-exp per row.

    16-bit values wider than 128 need a float32 accumulator of the output (`kNeedsOutputAccumulatorBuffer` in
    `kernel_forward.h`). The backward kernel has a workspace (`kernel_backward.h`), and takes the products of
    output and gradient itself in 16 bits only (`attention_backward.cu`).
    """
    tape = q.tape
    width = heads.heads * heads.value_dim
    out = tape.new(q.rows, width, q.dtype, "attention output")
    logsumexp = tape.new(q.rows, heads.heads, "float32", "attention log-sum-exp")
    # a mask is read, not understood: what it hides is computed too
    flops, moved = _products(q, k, heads, causal=bias is None), total(x.size for x in (q, k, v, out))
    tape.attends(flops, moved, q.dtype, None)
    dtype = q.dtype
    half = DTYPE_BYTES[q.dtype] == 2
    if half and heads.value_dim > 128:
        accumulator = tape.new(q.rows, width, "float32", "attention accumulator")
        del accumulator
    if tape.records(q, k, v):
        q_shape, k_shape, v_shape = ops.meta(q), ops.meta(k), ops.meta(v)
        kept = [x for x in (q, k, v, out.detach(), logsumexp, bias) if x is not None]

        def backward(grad: Tensor, saved: list[Tensor] = kept) -> tuple[Gradient, Gradient, Gradient]:
            gradients = tuple(tape.new(*shape, "gradient of q, k or v") for shape in (q_shape, k_shape, v_shape))
            if not half:
                products = tape.new(q_shape.rows, width, "float32", "products of output and gradient")
                del products
            rows = tape.new(q_shape.rows, heads.heads, "float32", "attention backward rows")
            workspace = efficient_workspace(tape, q_shape.rows, heads, half=half)
            del rows, workspace
            tape.attends(flops.times(BACKWARD_PRODUCTS), moved.times(2), dtype, None)
            return gradients[0], gradients[1], gradients[2]

        tape.record([out], [q, k, v], backward, kept)
        del kept
    return out


def efficient_workspace(tape: Tape, rows: Size, heads: Heads, *, half: bool) -> list[Tensor]:
    """Float32 accumulators of the efficient kernel's backward pass (`workspace_size`), for blocks of 8.0.

    That of q's gradient, in whole blocks and with a counter of four elements each; and where a 16-bit kernel
    does not hold the gradients of a block of keys and values in registers, those of the blocks in work.
    """
    widest = max(heads.head_dim, heads.value_dim)
    block_rows = 64 if widest <= 64 else 128
    block_keys = 128 if half and 64 < widest <= 128 else 64
    blocks = -(-heads.head_dim // block_keys)
    counters = rows.times(4 * blocks / block_rows)
    elements = rows.times(blocks * block_keys).plus(counters)
    buffers = [tape.new(elements, heads.heads, "float32", "attention backward accumulator")]
    if half and widest > 128:
        staged = block_keys * (_up(heads.head_dim, block_rows) + _up(heads.value_dim, block_rows))
        buffers.append(tape.new(ONE.times(_CONCURRENT_BLOCKS), staged, "float32", "blocks of dk and dv"))
    return buffers


def math_attention(
    q: Tensor, k: Tensor, v: Tensor, heads: Heads, bias: Tensor | None, *, dropout: float, enable_gqa: bool
) -> Tensor:
    """`_scaled_dot_product_attention_math`: in tensor operations and float32; the weights are kept.

    Grouped heads are repeated with enable_gqa; without it a single one is broadcast by `torch.matmul`. The causal
    mask of S x S is counted once for each sequence of the batch.
    """
    tape, dtype = q.tape, q.dtype
    query, key, value = (ops.to(x, "float32") for x in (q, k, v))
    del q, k, v
    scaled = ops.scale(query)
    if bias is None:
        bias = tape.new(SCORES, 1, "float32", "causal mask")
    repeated = enable_gqa and heads.kv_heads < heads.heads
    if repeated:
        key, value = (ops.expand_copy(x, heads.heads // heads.kv_heads) for x in (key, value))
    weights = ops.matmul(
        batched(scaled, heads.heads * heads.head_dim),
        batched(ops.scale(key), heads.heads * heads.head_dim, ready=repeated),
        bias.rows,
        heads.heads,
        "attention scores",
    )
    scores = add_in_place(weights, bias)
    del weights
    weights = ops.softmax(scores)
    # `_safe_softmax` looks for rows that are masked as a whole
    masked = tape.new(scores.rows, scores.cols, "int8", "whether a score is -inf")
    del masked, scores
    weights = ops.dropout(weights, dropout)
    width = heads.heads * heads.value_dim
    out = ops.to(
        ops.matmul(weights, batched(value, width, ready=repeated), query.rows, width, "attention output"), dtype
    )
    # the operator returns the weights too, which `scaled_dot_product_attention` drops
    copied = ops.to(weights.detach(), dtype)
    del copied
    return out


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple

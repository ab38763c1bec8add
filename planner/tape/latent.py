"""Operations of DeepSeek's latent attention: rotations of interleaved pairs, keys put together in place.

Source: `transformers/models/deepseek_v2/modeling_deepseek_v2.py` and `deepseek_v3` (5.23).
"""

from __future__ import annotations

from planner.tape import ops
from planner.tape.norms import subtract
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def rotary_interleaved(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`apply_rotary_pos_emb_interleave` for q or k; of the tables cos and sin half is read."""
    first, second = ops.narrow(x, x.cols // 2), ops.narrow(x, x.cols // 2)
    return ops.cat(
        [
            subtract(ops.mul(first, cos), ops.mul(second, sin)),
            ops.add(ops.mul(second, cos), ops.mul(first, sin)),
        ]
    )


def rotary_complex(x: Tensor, table: Tensor) -> Tensor:
    """`apply_rotary_emb` for q or k: a product of complex numbers, as two float32 columns each."""
    dtype = x.dtype
    complex_x = ops.to(x, "float32")
    turned = ops.mul(complex_x, table)
    del complex_x
    return ops.to(turned, dtype)


def expand_keys(no_rope: Tensor, rope: Tensor, heads: int) -> Tensor:
    """`expand_kv`: an empty tensor whose two slices are filled in place, the rotated part for every head.

    Each `copy_` into a slice is a `CopySlices` node: its backward pass clones the whole gradient and
    the slice (`torch/csrc/autograd/functions/tensor.cpp`).
    """
    tape = no_rope.tape
    width = rope.cols * heads
    keys = tape.new(no_rope.rows, no_rope.cols + width, no_rope.dtype, "keys")
    keys = _copy_into(keys, no_rope, no_rope.cols)
    return _copy_into(keys, rope, width)


def _copy_into(base: Tensor, source: Tensor, width: int) -> Tensor:
    """`base[..., a:b].copy_(source)`; source is expanded to `width` columns."""
    tape = base.tape
    out = base.detach()
    if tape.records(base, source):
        whole, part = ops.meta(base), ops.meta(source)
        needs_base, needs_source = base.requires_grad, source.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            result = tape.new(*whole, "clone of the gradient")
            piece = tape.new(part.rows, width, whole.dtype, "gradient of a slice")
            return result if needs_base else None, piece if needs_source else None

        def reduce(gradients: list[Gradient]) -> None:
            if gradients[1] is not None:
                gradients[1] = ops.reduced(gradients[1], part)

        tape.record([out], [base, source], backward, [], reduce=reduce)
    return out

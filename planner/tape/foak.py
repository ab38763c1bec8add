"""What fms-acceleration's fused operations and kernels ("foak") allocate and keep.

Source: foundation-model-stack/fms-acceleration, `plugins/fused-ops-and-kernels/src/fms_acceleration_foak`:
`kernels/unsloth/` (norm, loss, rotary embedding, taken from unsloth), `fused_ops/unsloth_lora/` (LoRA) and
`kernels/liger/fused_linear_cross_entropy_loss.py`, as of its reference runs of 2024-12 to 2025-02 (0aab2c6f). Its
Triton kernels allocate nothing: all memory is that of the `torch.empty` calls and operators around them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import NamedTuple

from planner.tape import ops
from planner.tape.fused import count_chunks, record_with_gradients
from planner.tape.loss import without_last
from planner.tape.size import ONE, Size
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor

BLOCK_OF_VOCABULARY = 65_536
"""Columns that one program of the loss's kernel reads (`MAX_FUSED_SIZE`)."""


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """`Fast_RMS_Layernorm`: saves x and a float32 reciprocal root per row; the result has x's dtype.

    The gradient of x is written over that of the result. The weight gets none, trained or not.
    """
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "norm")
    root = tape.new(x.rows, 1, "float32", "reciprocal root")
    if tape.records(x, weight):
        needs_x = x.requires_grad

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (x, root)) -> tuple[Gradient, Gradient]:
            tape.rewrites(grad.size)
            return (grad if needs_x else None, None)

        tape.record([out], [x, weight], backward, [x, root])
    return out


def cross_entropy(logits: Tensor) -> Tensor:
    """`FastForCausalLMLoss`: float32 logits without the last position, over which their gradient is written.

    The caller's frame holds the logits while it runs.
    """
    tape = logits.tape
    with tape.module("loss"):
        wide = ops.to(logits, "float32")
        # its frame holds the uncut logits
        return _fast_cross_entropy(without_last(wide))


def _fast_cross_entropy(logits: Tensor) -> Tensor:
    """`Fast_CrossEntropyLoss`, and the mean of its losses."""
    tape = logits.tape
    losses = tape.new(logits.rows, 1, "float32", "losses of the tokens")
    blocks = ceil(logits.cols / BLOCK_OF_VOCABULARY)
    sums = tape.new(logits.rows, blocks, "float32", "log of the sum of exponentials")
    if blocks > 1:
        sums = tape.new(logits.rows, 1, "float32", "log of the sum of exponentials")
    out = tape.new(ONE, 1, "float32", "loss")
    del losses
    if tape.records(logits):

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (logits.detach(), sums)) -> tuple[Gradient]:
            tape.rewrites(saved[0].size)
            return (saved[0],)

        tape.record([out], [logits], backward, [logits, sums])
    return out


def fused_linear_cross_entropy(hidden: Tensor, weight: Tensor, chunk: Size, chunks: int) -> Tensor:
    """`lce_forward` with `LigerFusedLinearCrossEntropyFunction`: the head and its loss, `chunk` tokens at a time.

    hidden: T x hidden_size, without the last position a copy. The gradients of that copy and of a trained weight are
    made in the forward pass and kept. A chunk's logits are copied to float32 and back, and scaled; the next chunk
    begins while the last two are still there. chunks: how many there are.
    """
    tape = hidden.tape
    with tape.module("loss"):
        x = without_last(hidden)
        dtype = tape.autocast or x.dtype
        vocabulary = int(weight.rows.constant)
        grad_weight = tape.new(*ops.meta(weight), "weight gradient") if weight.requires_grad else None
        grad_x = tape.new(*ops.meta(x), "gradient of the head's input")
        losses = tape.new(x.rows, 1, "float32", "losses of the tokens")
        narrow = scaled = None
        for _ in range(min(chunks, 2)):
            inputs = tape.new(chunk, x.cols, dtype, f"{dtype} copy") if x.dtype != dtype else None
            head = tape.new(weight.rows, weight.cols, dtype, f"{dtype} copy") if weight.dtype != dtype else None
            logits = tape.new(chunk, vocabulary, dtype, "logits of a chunk")
            narrow = None
            del inputs, head
            wide = ops.to(logits, "float32")
            del logits
            narrow = tape.new(chunk, vocabulary, dtype, "gradient of a chunk's logits")
            del wide
            scaled = tape.new(chunk, vocabulary, dtype, "scaled gradient of a chunk's logits")
            head = tape.new(weight.rows, weight.cols, dtype, f"{dtype} copy") if weight.dtype != dtype else None
            product = tape.new(chunk, x.cols, dtype, "gradient of a chunk's input")
            del product, head
        del narrow, scaled
        count_chunks(x, weight, dtype, trained=grad_weight is not None)
        out = tape.new(ONE, 1, "float32", "loss")
        del losses
        record_with_gradients(out, (x, weight), (grad_x, grad_weight))
    return out


class Projection(NamedTuple):
    """A linear layer with its adapter."""

    weight: Callable[[], Tensor]
    """Expands its weight, into a tensor of its own."""
    a: Tensor
    b: Tensor
    """`lora_A.weight` and `lora_B.weight`."""

    @property
    def rank(self) -> int:
        """Rows of A, columns of B."""
        return self.b.cols

    @property
    def outputs(self) -> int:
        """Features of the result."""
        return int(self.b.rows.constant)


def fused_lora(
    x: Tensor, projections: Sequence[Projection], *, dropout: float, weights_first: bool, over_input: bool
) -> list[Tensor]:
    """`LoRA_QKV` (three projections of x) and `LoRA_W` (one), in x's dtype, which is that of autocast.

    Saves x, and for each projection what dropout has made of it, but no mask: that is read from its zeros.
    weights_first: expands all weights before the first product and keeps them to the end (GPTQ), instead of one at a
    time. over_input: writes the gradient of x over x, which it has saved.
    """
    tape = x.tape
    expanded = [projection.weight() for projection in projections] if weights_first else []
    outs, dropped = list[Tensor](), list[Tensor]()
    for projection in projections:
        weight = None if weights_first else projection.weight()
        out = tape.new(x.rows, projection.outputs, x.dtype, "output")
        tape.multiplies(x.rows, x.cols, projection.outputs, x.dtype)
        del weight
        kept = x
        if dropout and tape.training:
            kept = tape.new(x.rows, x.cols, x.dtype, "dropout")
            mask = tape.new(x.rows, x.cols, "int8", "dropout mask")
            del mask
        inner = tape.new(x.rows, projection.rank, x.dtype, "lora_A output")
        tape.multiplies(x.rows, x.cols, projection.rank, x.dtype)
        factor = _scaled(projection.b, x.dtype)
        update = tape.new(x.rows, projection.outputs, x.dtype, "lora_B output")
        tape.multiplies(x.rows, projection.rank, projection.outputs, x.dtype)
        del inner, factor, update
        outs.append(out)
        dropped.append(kept)
    expanded.clear()
    factors = [factor for projection in projections for factor in (projection.a, projection.b)]
    if tape.records(x, *factors):
        needs_x = x.requires_grad

        def backward(
            *grads: Tensor, saved: tuple[Tensor, tuple[Tensor, ...]] = (x.detach(), tuple(dropped))
        ) -> tuple[Gradient, ...]:
            source, kept = saved
            of_factors: list[Gradient] = []
            for projection in projections:
                of_factors.extend(_factor_gradients(source, projection))
            result = source if over_input else None
            for projection in projections:
                weight = projection.weight()
                over = result is source and projection is projections[0]
                product = None if over else _like(source, "gradient")
                tape.multiplies(source.rows, projection.outputs, source.cols, source.dtype, in_place=over)
                result = product if result is None else result
                del weight, product
                _masked_update(source, projection)
            del grads, kept
            return (result if needs_x else None, *of_factors)

        targets = [ops.meta(factor) for factor in factors]

        def reduce(gradients: list[Gradient]) -> None:
            own = gradients[1:]
            ops.reduce_to(own, targets)
            gradients[1:] = own

        tape.record(outs, [x, *factors], backward, [x, *dropped], reduce=reduce)
    return outs


def _like(x: Tensor, op: str) -> Tensor:
    return x.tape.new(*ops.meta(x), op)


def _scaled(factor: Tensor, dtype: str) -> Tensor:
    """`s * factor.to(dtype)`"""
    copied = ops.to(factor.detach(), dtype)
    return copied.tape.new(copied.rows, copied.cols, dtype, "scaled factor")


def _factor_gradients(x: Tensor, projection: Projection) -> tuple[Tensor, Tensor]:
    """`X.t() @ (dY @ B.t())` and `(A.t() @ X.t()) @ dY`, each scaled in place."""
    tape = x.tape
    inner = tape.new(x.rows, projection.rank, x.dtype, "gradient of lora_A's output")
    tape.multiplies(x.rows, projection.outputs, projection.rank, x.dtype)
    a = tape.new(projection.a.rows, projection.a.cols, x.dtype, "gradient of lora_A")
    tape.sums_products(x.rows, projection.rank, x.cols, x.dtype)
    del inner
    inner = tape.new(x.rows, projection.rank, x.dtype, "lora_A output")
    tape.multiplies(x.rows, x.cols, projection.rank, x.dtype)
    b = tape.new(projection.b.rows, projection.b.cols, x.dtype, "gradient of lora_B")
    tape.sums_products(x.rows, projection.outputs, projection.rank, x.dtype)
    del inner
    return a, b


def _masked_update(x: Tensor, projection: Projection) -> None:
    """`dX += (dropped != 0) * (dY @ B @ (s * A))`: mask and both products are there at once."""
    tape = x.tape
    mask = tape.new(x.rows, x.cols, "int8", "mask of what dropout has kept")
    inner = tape.new(x.rows, projection.rank, x.dtype, "gradient of lora_A's output")
    factor = _scaled(projection.a, x.dtype)
    tape.multiplies(x.rows, projection.outputs, projection.rank, x.dtype, in_place=True)
    update = _like(x, "gradient through the adapter")
    tape.multiplies(x.rows, projection.rank, x.cols, x.dtype)
    del inner, factor
    masked = _like(x, "masked gradient")
    del mask, update, masked

"""What liger-kernel's fused modules allocate and keep, in place of the operations they stand for.

Source: liger-kernel 0.8.5, `liger_kernel/ops/` (`rms_norm.py`, `swiglu.py`, `geglu.py`, `rope.py`,
`cross_entropy.py`, `fused_linear_cross_entropy.py`). Its Triton kernels allocate nothing: all memory is
that of the `torch.empty` calls around them.
"""

from __future__ import annotations

from math import ceil

from planner.tape import ops
from planner.tape.size import ONE, TOKENS, Size
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor
from planner.units import DTYPE_BYTES

STREAMING_MULTIPROCESSORS = 132
"""Rows of the partial sums of a norm's weight gradient, one per multiprocessor of the card.

That of an H100 stands for all (A100: 108, L40S: 142): the buffer is a few MB and gone at once.
"""


def rms_norm(x: Tensor, weight: Tensor, *, in_place: bool, groups: int = 1) -> Tensor:
    """`LigerRMSNormFunction`: saves x and a float32 reciprocal root per row; computes in registers.

    in_place: the gradient of x is written over that of the result, as for norms whose result nothing else
    reads. groups: norms per row, as of the heads of q. A trained weight's gradient is summed in float32.
    """
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "norm")
    rstd = tape.new(x.rows, groups, "float32", "reciprocal root")
    if tape.records(x, weight):
        needs_x = x.requires_grad
        shape = ops.meta(weight)
        trained = weight.requires_grad

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (x, rstd)) -> tuple[Gradient, Gradient]:
            rows = ONE.times(STREAMING_MULTIPROCESSORS)
            partial = tape.new(rows, shape.cols, "float32", "partial weight gradient") if trained else None
            if in_place:
                tape.rewrites(grad.size)
            result = grad if in_place else tape.new(*ops.meta(saved[0]), "gradient")
            weight_gradient = tape.new(*shape, "weight gradient") if trained else None
            del partial
            return (result if needs_x else None, weight_gradient)

        tape.record([out], [x, weight], backward, [x, rstd])
    return out


def gated_product(gate: Tensor, up: Tensor) -> Tensor:
    """`LigerSiLUMulFunction` and `LigerGELUMulFunction`: saves both and writes their gradients over them."""
    tape = gate.tape
    out = tape.new(gate.rows, gate.cols, gate.dtype, "gated product")
    if tape.records(gate, up):

        def backward(
            grad: Tensor, saved: tuple[Tensor, Tensor] = (gate.detach(), up.detach())
        ) -> tuple[Gradient, Gradient]:
            for gradient in saved:
                tape.rewrites(gradient.size)
            return saved

        tape.record([out], [gate, up], backward, [gate, up])
    return out


def rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`LigerRopeFunction` for q or k that lie token by token: turned in place, and their gradients too."""
    tape = x.tape
    out = x.detach()
    tape.rewrites(x.size)
    if tape.records(x):

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (cos, sin)) -> tuple[Gradient]:
            tape.rewrites(grad.size)
            return (grad,)

        tape.record([out], [x], backward, [])
    return out


def cross_entropy(logits: Tensor) -> Tensor:
    """`LigerCrossEntropyFunction` on float32 logits: writes their gradient over them in the forward pass."""
    tape = logits.tape
    with tape.module("loss"):
        logits = ops.to(logits, "float32")
        tape.rewrites(logits.size)
        losses = tape.new(logits.rows, 1, "float32", "losses of the tokens")
        out = tape.new(ONE, 1, "float32", "loss")
        del losses
        if tape.records(logits):
            kept = logits.detach()

            def backward(grad: Tensor, saved: Tensor = kept) -> tuple[Gradient]:
                return (saved,)

            tape.record([out], [logits], backward, [logits])
    return out


def record_with_gradients(out: Tensor, inputs: tuple[Tensor, ...], gradients: tuple[Gradient, ...]) -> None:
    """Record a function whose forward pass has made the gradients of its inputs already: they are what it saves."""
    tape = out.tape
    if tape.records(*inputs):

        def backward(grad: Tensor, saved: tuple[Gradient, ...] = gradients) -> tuple[Gradient, ...]:
            return saved

        tape.record([out], inputs, backward, [tensor for tensor in gradients if tensor is not None])


def fused_linear_cross_entropy(x: Tensor, weight: Tensor, chunk: Size) -> Tensor:
    """`LigerFusedLinearCrossEntropyFunction`: the head and its loss, `chunk` tokens at a time.

    The gradient of x (and of a trained weight) is made in the forward pass and kept; logits exist for one
    chunk, and their gradient is written over them. Inside autocast the products are of 16-bit copies; that
    of the weight, of which autograd sees a view, is not cached.
    """
    tape = x.tape
    with tape.module("loss"):
        dtype = tape.autocast or x.dtype
        grad_x = tape.new(*ops.meta(x), "gradient of the head's input")
        trained = weight.requires_grad and x.requires_grad
        grad_weight = tape.new(*ops.meta(weight), "weight gradient") if trained else None
        losses = tape.new(x.rows, 1, "float32", "losses of the tokens")
        inputs = tape.new(chunk, x.cols, dtype, f"{dtype} copy") if x.dtype != dtype else None
        head = tape.new(weight.rows, weight.cols, dtype, f"{dtype} copy") if weight.dtype != dtype else None
        logits = tape.new(chunk, int(weight.rows.constant), dtype, "logits of a chunk")
        del inputs, head, logits
        count_chunks(x, weight, dtype, trained=trained)
        out = tape.new(ONE, 1, "float32", "loss")
        del losses
        record_with_gradients(out, (x, weight), (grad_x, grad_weight))
    return out


def count_chunks(x: Tensor, weight: Tensor, dtype: str, *, trained: bool) -> None:
    """The work of all chunks: three products with the head's weight at most, and logits over which their gradient is
    written."""
    tape, vocabulary = x.tape, int(weight.rows.constant)
    tape.multiplies(x.rows, x.cols, vocabulary, dtype, in_place=True)
    tape.multiplies(x.rows, vocabulary, x.cols, dtype, in_place=True)
    if trained:
        tape.multiplies(x.rows, x.cols, vocabulary, dtype, in_place=True)
    tape.rewrites(x.rows.times(vocabulary * DTYPE_BYTES[dtype]))


def chunk_of_tokens(tokens: int, hidden: int, vocabulary: int) -> int:
    """Tokens of one chunk of the fused loss: as many as make its logits about as large as its input.

    The next power of two of tokens / ceil(vocabulary / hidden), at most all tokens.
    """
    share = ceil(tokens / ceil(vocabulary / hidden))
    return min(1 << (share - 1).bit_length(), tokens)


def chunk_size(tokens: int, hidden: int, vocabulary: int) -> Size:
    """That chunk as a share of the run's tokens: exact for a run of `tokens` tokens, near it for others."""
    return TOKENS.times(chunk_of_tokens(tokens, hidden, vocabulary) / tokens)

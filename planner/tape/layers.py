"""Layers that read parameters: linear, embedding, normalisation.

The dtypes follow `torch.autocast`: inside it a linear layer runs in the 16-bit dtype and the copies
that needs are made (and, for the copies of trainable parameters, cached); norms written with
`native_layer_norm` run in float32.
"""

from __future__ import annotations

from planner.tape import ops
from planner.tape.size import Size
from planner.tape.tape import Gradient, Tape
from planner.tape.tensor import Tensor

SORTED_FROM = 3072
"""Indices up to which a kernel sums an embedding's gradient without sorting them."""


def autocast_input(x: Tensor) -> Tensor:
    """`x` in the dtype autocast runs matrix products in."""
    return ops.to(x, x.tape.autocast) if x.tape.autocast else x


def autocast_weight(weight: Tensor) -> Tensor:
    """`weight` in autocast's dtype; the copy of a trainable float32 leaf is cached until autocast ends.

    Source: `cached_cast` in `aten/src/ATen/autocast_mode.cpp`, which caches under `no_grad` as well.
    """
    tape = weight.tape
    if tape.autocast is None or weight.dtype == tape.autocast:
        return weight
    name = weight.node.parameter if weight.node is not None else ""
    if not name:
        return ops.to(weight, tape.autocast)
    if name not in tape.casts:
        tape.casts[name] = ops.to(weight, tape.autocast)
    return tape.casts[name]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, op: str = "output") -> Tensor:
    """`F.linear`: weight is out_features x in_features. Saves x only if the weight is trained."""
    tape = x.tape
    x = autocast_input(x)
    weight = autocast_weight(weight)
    if bias is not None:
        bias = autocast_weight(bias)
    features = int(weight.rows.constant)
    out = tape.new(x.rows, features, weight.dtype, op)
    tape.multiplies(x.rows, x.cols, features, weight.dtype)
    if tape.records(x, weight, bias):
        before, shape = ops.meta(x), ops.meta(weight)
        saved_x = x if weight.requires_grad else None
        saved_weight = weight if x.requires_grad else None
        bias_shape = ops.meta(bias) if bias is not None and bias.requires_grad else None

        def backward(grad: Tensor) -> tuple[Gradient, Gradient, Gradient]:
            return (
                input_gradient(tape, before, features) if saved_weight is not None else None,
                weight_gradient(tape, before, shape) if saved_x is not None else None,
                tape.new(*bias_shape, "bias gradient") if bias_shape is not None else None,
            )

        saved = [t for t in (saved_x, saved_weight) if t is not None]
        tape.record([out], [x, weight, bias], backward, saved)
    return out


def input_gradient(tape: Tape, x: ops.Meta, features: int) -> Tensor:
    """The gradient of a linear layer's input `x`: that of its `features` outputs times the weight."""
    gradient = tape.new(*x, "input gradient")
    tape.multiplies(x.rows, features, x.cols, x.dtype)
    return gradient


def weight_gradient(tape: Tape, x: ops.Meta, weight: ops.Meta) -> Tensor:
    """The gradient of a linear layer's weight, of its input `x` and the gradient of its outputs."""
    gradient = tape.new(*weight, "weight gradient")
    tape.sums_products(x.rows, int(weight.rows.constant), weight.cols, weight.dtype)
    return gradient


def embedding(tape: Tape, weight: Tensor, rows: Size, *, scaled: bool = False) -> Tensor:
    """`F.embedding` of `rows` indices; a trained weight gets a dense gradient of its own size.

    The gradient of more than 3072 tokens is summed from sorted indices (`embedding_dense_backward_cuda`), float32
    piece by piece: one for every 10 tokens and one more for every token that differs, which may be all of them.

    The first embedding is the input embedding, the one `enable_input_require_grads` hooks. scaled: the
    module itself multiplies its result by a number (`GemmaTextScaledWordEmbedding`).
    """
    out = tape.new(rows, weight.cols, weight.dtype, "embedding")
    if tape.records(weight):
        shape = ops.meta(weight)
        indices = rows.at(tape.batch, tape.sequence)
        segments = rows if indices <= shape.rows.constant else shape.rows

        def backward(grad: Tensor) -> tuple[Gradient]:
            if indices <= SORTED_FROM:
                return (tape.new(*shape, "weight gradient"),)
            pieces = rows.times(1 / 10).plus(segments)
            numbers = [tape.new(rows, 2, "int64", "sorted indices")]
            gradient = tape.new(*shape, "weight gradient")
            numbers.append(tape.new(rows.plus(segments.times(2)).plus(pieces), 1, "int64", "pieces"))
            numbers.append(tape.new(pieces, shape.cols, "float32", "sums of the pieces"))
            return (gradient,)

        tape.record([out], [weight], backward, [])
    if scaled:
        out = ops.scale(out, "scaled embedding")
    if tape.embeddings_require_grad and not tape.records(weight) and not tape.leaves:
        tape.leaf(out)
    return out


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, *, groups: int = 1) -> Tensor:
    """`native_layer_norm`: saves its input and, in float32, a mean and a reciprocal deviation per row.

    CUDA's autocast runs it in float32 (its input is copied), and its result is then float32.
    """
    tape = x.tape
    if tape.autocast:
        x = ops.to(x, "float32")
    out = tape.new(x.rows, x.cols, x.dtype, "norm")
    statistics = tape.new(x.rows, 2 * groups, "float32", "mean and rstd")
    if tape.records(x, weight, bias):
        before = ops.meta(x)
        needs_x = x.requires_grad
        shapes = [ops.meta(p) if p is not None and p.requires_grad else None for p in (weight, bias)]

        def backward(
            grad: Tensor, saved: tuple[Tensor | None, ...] = (x, statistics, weight)
        ) -> tuple[Gradient, Gradient, Gradient]:
            return (
                tape.new(*before, "gradient") if needs_x else None,
                tape.new(*shapes[0], "weight gradient") if shapes[0] is not None else None,
                tape.new(*shapes[1], "bias gradient") if shapes[1] is not None else None,
            )

        tape.record([out], [x, weight, bias], backward, [x, statistics])
    return out


def rms_norm(x: Tensor, weight: Tensor, *, groups: int = 1, weight_first: bool = True) -> Tensor:
    """The RMS norm of transformers' Llama, written in tensor operations: it keeps a float32 copy of x.

    x is copied to float32; the copy and its scaled product are what autograd keeps
    (`LlamaRMSNorm.forward`). groups: heads, when each head is normalised apart (q and k norms).
    weight_first: `weight * x.to(input)`; else `(weight * x).to(input)`, as OLMo 2 writes it.
    """
    dtype = x.dtype
    x = ops.to(x, "float32")
    variance = ops.mean(ops.square(x), groups)
    x = ops.mul(x, ops.saves_output(ops.shift(variance), "rsqrt"))
    del variance
    if weight_first:
        return ops.mul(weight, ops.to(x, dtype))
    return ops.to(ops.mul(weight, x), dtype)

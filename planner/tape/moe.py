"""Operations of mixture-of-experts layers: choosing experts, gathering their rows, grouped products.

Source of what is saved: `tools/autograd/derivatives.yaml` of PyTorch. What `index_put_` allocates inside
its kernel while it sorts indices is not counted.
"""

from __future__ import annotations

from planner.tape import layers, ops
from planner.tape.size import Size
from planner.tape.tape import Gradient, Tape
from planner.tape.tensor import Tensor


def top_k(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`torch.topk(x, k, -1)`: values and int64 indices, which are saved; the gradient fills zeros."""
    tape = x.tape
    values = tape.new(x.rows, k, x.dtype, "top-k values")
    indices = tape.new(x.rows, k, "int64", "top-k indices")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = indices) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the chosen"),)

        tape.record([values], [x], backward, [indices])
    return values, indices


def gather(x: Tensor, indices: Tensor, cols: int) -> Tensor:
    """`x.gather(1, indices)`: saves the indices."""
    tape = x.tape
    out = tape.new(x.rows, cols, x.dtype, "gathered")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = indices) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the gathered"),)

        tape.record([out], [x], backward, [indices])
    return out


def index_rows(x: Tensor, indices: Tensor, rows: Size) -> Tensor:
    """`x[indices]` for `rows` int64 indices, which are saved; the gradient is added into zeros."""
    tape = x.tape
    out = tape.new(rows, x.cols, x.dtype, "rows of the experts")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor, saved: Tensor = indices) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the rows"),)

        tape.record([out], [x], backward, [indices])
    return out


def grouped_mm(x: Tensor, weight: Tensor, out_features: int) -> Tensor:
    """`F.grouped_mm`: each row of x times the matrix of its expert. weight: all experts' matrices.

    It is not on autocast's list: x is cast to the weight's dtype (`_grouped_mm` of transformers).
    """
    tape = x.tape
    x = ops.to(x, weight.dtype)
    out = tape.new(x.rows, out_features, weight.dtype, "output of the experts")
    inner = x.cols
    tape.multiplies(x.rows, inner, out_features, weight.dtype)
    if tape.records(x, weight):
        before, shape = ops.meta(x), ops.meta(weight)
        saved_x = x if weight.requires_grad else None
        saved_weight = weight if x.requires_grad else None

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return (
                layers.input_gradient(tape, before, out_features) if saved_weight is not None else None,
                _stack_gradient(tape, before, shape, out_features) if saved_x is not None else None,
            )

        tape.record([out], [x, weight], backward, [t for t in (saved_x, saved_weight) if t is not None])
    return out


def _stack_gradient(tape: Tape, x: ops.Meta, stack: ops.Meta, out_features: int) -> Tensor:
    gradient = tape.new(*stack, "weight gradient")
    tape.sums_products(x.rows, out_features, x.cols, stack.dtype)
    return gradient


def row_sum(x: Tensor, cols: int = 1) -> Tensor:
    """`x.sum(-1, keepdim=True)`, or of each of `cols` equal parts; its gradient is an expanded view."""
    tape = x.tape
    out = tape.new(x.rows, cols, x.dtype, "sum")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (grad.view(shape.rows, shape.cols),)

        tape.record([out], [x], backward, [])
    return out


def sum_choices(x: Tensor, tokens: Size) -> Tensor:
    """`x.view(tokens, k, -1).sum(1)`: one row per token. The expanded gradient of the sum is copied."""
    tape = x.tape
    out = tape.new(tokens, x.cols, x.dtype, "sum over the experts")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "expanded gradient"),)

        tape.record([out], [x], backward, [])
    return out


def divide(a: Tensor, b: Tensor, *, in_place: bool = False) -> Tensor:
    """`a / b`, with b one number per row, or `a /= b`, which saves a clone of what a was before."""
    tape = a.tape
    kept: Tensor = a.detach()
    if in_place:
        out = a.detach()
        if tape.records(a, b):
            kept = tape.new(a.rows, a.cols, a.dtype, "clone")
    else:
        out = tape.new(a.rows, a.cols, ops.promote(a.dtype, b.dtype), "quotient")
    if tape.records(a, b):
        first, second = ops.meta(a), ops.meta(b)
        needs_b = b.requires_grad

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (kept, b)) -> tuple[Gradient, Gradient]:
            grad_a = tape.new(*first, "gradient")
            if not needs_b:
                return grad_a, None
            # -grad * ((a / b) / b), one C++ expression (`div_tensor_other_backward`)
            temporaries = [tape.new(*first, "gradient term") for _ in range(3)]
            grad_b = tape.new(*first, "gradient")
            del temporaries
            return grad_a, ops.reduced(grad_b, second)

        tape.record([out], [a, b], backward, [kept, b] if needs_b else [b])
    return out


def add_in_place(a: Tensor, b: Tensor) -> Tensor:
    """`a.add_(b)`, of one shape: no buffer of its own, and the gradient passes through to both."""
    tape = a.tape
    out = a.detach()
    if tape.records(a, b):
        needs_a, needs_b = a.requires_grad, b.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return grad if needs_a else None, grad if needs_b else None

        tape.record([out], [a, b], backward, [])
    return out


def index_add(total: Tensor, source: Tensor, indices: Tensor) -> Tensor:
    """`total.index_add_(0, indices, source)`, without a buffer of its own; saves both, source for its shape alone."""
    tape = total.tape
    out = total.detach()
    if tape.records(total, source):
        needs_total, needs_source = total.requires_grad, source.requires_grad

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (source, indices)) -> tuple[Gradient, Gradient]:
            selected = tape.new(*ops.meta(saved[0]), "gradient of the added rows") if needs_source else None
            return grad if needs_total else None, selected

        tape.record([out], [total, source], backward, [source, indices])
        # it saves them now, not when the buffer of its result was made
        tape.last_save, tape.last_save_place = len(tape.events), tape.meter.place
    return out


def clamp(x: Tensor, *, bounds: int) -> Tensor:
    """`x.clamp(...)` with one bound or two: saves x; the backward pass compares each bound with it again."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "clamped")
    if tape.records(x):

        def backward(grad: Tensor, saved: Tensor = x) -> tuple[Gradient]:
            masks = [tape.new(saved.rows, saved.cols, "int8", "within a bound") for _ in range(bounds)]
            result = tape.new(*ops.meta(saved), "gradient")
            del masks
            return (result,)

        tape.record([out], [x], backward, [x])
    return out


def masked_fill(x: Tensor, mask: Tensor) -> Tensor:
    """`x.masked_fill(mask, number)`: saves the mask."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "masked")
    if tape.records(x):

        def backward(grad: Tensor, saved: Tensor = mask) -> tuple[Gradient]:
            return (tape.new(*ops.meta(grad), "gradient"),)

        tape.record([out], [x], backward, [mask])
    return out


def group_mask(scores: Tensor, groups: int) -> Tensor:
    """A boolean mask of the experts outside the best groups, from a few numbers per group."""
    tape = scores.tape
    group_scores = tape.new(scores.rows, groups, scores.dtype, "group scores")
    chosen = tape.new(scores.rows, groups, scores.dtype, "group mask")
    spread = tape.new(scores.rows, scores.cols, scores.dtype, "score mask")
    inverted = tape.new(scores.rows, scores.cols, "int8", "experts outside the groups")
    del group_scores, chosen, spread
    return inverted

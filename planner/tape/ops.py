"""Tensor operations as autograd sees them: what each allocates, saves, and allocates in reverse.

Each function stands for one PyTorch operator, and follows its derivative formula
(`tools/autograd/derivatives.yaml`) for what is saved and its kernel for what is allocated. Views
allocate nothing. Operators that read a tensor only to know its shape must not close over it: a
closure is what autograd saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from planner.tape.size import Size
from planner.tape.tape import Backward, Gradient, Tape
from planner.tape.tensor import Tensor
from planner.tape.work import ATTENTION, MATRIX, Product
from planner.units import DTYPE_BYTES


class Meta(NamedTuple):
    """Shape and dtype of a tensor, without its memory."""

    rows: Size
    cols: int
    dtype: str


def meta(tensor: Tensor) -> Meta:
    """Shape and dtype of `tensor`."""
    return Meta(tensor.rows, tensor.cols, tensor.dtype)


def promote(a: str, b: str) -> str:
    """The dtype of an operation on two floating dtypes."""
    return a if a == b else "float32"


def unchanged(grad: Tensor) -> tuple[Gradient]:
    """The backward pass of an operation whose input gradient is that of its output, the same buffer."""
    return (grad,)


def fresh(tape: Tape, shape: Meta, op: str = "gradient") -> Backward:
    """The backward pass of an operation that needs nothing saved and makes one new gradient of `shape`."""

    def backward(grad: Tensor) -> tuple[Gradient]:
        return (tape.new(*shape, op),)

    return backward


def to(x: Tensor, dtype: str) -> Tensor:
    """`x.to(dtype)`: nothing when it is that already, else a copy."""
    if x.dtype == dtype:
        return x
    tape = x.tape
    out = tape.new(x.rows, x.cols, dtype, f"{dtype} copy")
    if tape.records(x):
        before = meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(before.rows, before.cols, before.dtype, "gradient cast"),)

        tape.record([out], [x], backward, [])
    return out


def contiguous(x: Tensor) -> Tensor:
    """A copy in another memory layout (`.contiguous()`, `.clone()`, a `.reshape()` that must copy)."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "contiguous copy")
    if tape.records(x):
        tape.record([out], [x], unchanged, [])
    return out


def _elements(m: Meta) -> Size:
    return m.rows.times(m.cols)


def _larger(a: Tensor, b: Tensor) -> Tensor:
    # coefficients from B*S*S down to the constant: the order of growth decides
    return a if _elements(meta(a))[::-1] >= _elements(meta(b))[::-1] else b


def add(a: Tensor, b: Tensor) -> Tensor:
    """`a + b`, broadcast and promoted. Saves nothing."""
    tape = a.tape
    shape = _larger(a, b)
    out = tape.new(shape.rows, shape.cols, promote(a.dtype, b.dtype), "sum")
    if tape.records(a, b):
        first, second = meta(a), meta(b)
        needs_first, needs_second = a.requires_grad, b.requires_grad

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return (
                reduced(grad, first) if needs_first else None,
                reduced(grad, second) if needs_second else None,
            )

        tape.record([out], [a, b], backward, [])
    return out


def reduced(gradient: Tensor, target: Meta) -> Tensor:
    """The gradient of an operand that was broadcast or promoted: summed, then cast to its dtype."""
    if _elements(meta(gradient)) != _elements(target):
        gradient = gradient.tape.new(target.rows, target.cols, gradient.dtype, "gradient sum")
    if gradient.dtype != target.dtype:
        gradient = gradient.tape.new(target.rows, target.cols, target.dtype, "gradient cast")
    return gradient


def reduce_to(gradients: list[Gradient], targets: Sequence[Meta]) -> None:
    """`reduced`, in place, for each gradient there is, one after the other."""
    for position, target in enumerate(targets):
        gradient = gradients[position]
        if gradient is not None:
            gradients[position] = reduced(gradient, target)


def mul(a: Tensor, b: Tensor) -> Tensor:
    """`a * b`, broadcast and promoted. Saves each operand that the other's gradient needs."""
    tape = a.tape
    shape = _larger(a, b)
    out = tape.new(shape.rows, shape.cols, promote(a.dtype, b.dtype), "product")
    if tape.records(a, b):
        first, second, result = meta(a), meta(b), meta(out)
        saved_a = a if b.requires_grad else None
        saved_b = b if a.requires_grad else None

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return (
                tape.new(*result, "gradient") if saved_b is not None else None,
                tape.new(*result, "gradient") if saved_a is not None else None,
            )

        saved = [x for x in (saved_a, saved_b) if x is not None]
        tape.record([out], [a, b], backward, saved, reduce=lambda grads: reduce_to(grads, (first, second)))
    return out


def scale(x: Tensor, op: str = "scaled") -> Tensor:
    """`x * number` or `-x`: a new buffer each way, nothing saved."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, op)
    if tape.records(x):
        shape = meta(x)
        tape.record([out], [x], fresh(tape, shape), [])
    return out


def shift(x: Tensor, op: str = "shifted") -> Tensor:
    """`x + number`: a new buffer forward, and the gradient passes through."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, op)
    if tape.records(x):
        tape.record([out], [x], unchanged, [])
    return out


def square(x: Tensor) -> Tensor:
    """`x.pow(2)`. Saves `x`.

    `pow_backward` is one C++ expression, grad * (2 * x.pow(1)): its temporaries live to the end of it.
    """
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, "square")
    if tape.records(x):

        def backward(grad: Tensor, saved: Tensor = x) -> tuple[Gradient]:
            power = tape.new(*meta(saved), "gradient power")
            factor = tape.new(*meta(saved), "gradient factor")
            result = tape.new(*meta(saved), "gradient")
            del power, factor
            return (result,)

        tape.record([out], [x], backward, [x])
    return out


def mean(x: Tensor, groups: int = 1) -> Tensor:
    """`x.mean(-1, keepdim=True)`, over each of `groups` equal parts of the width."""
    tape = x.tape
    out = tape.new(x.rows, groups, x.dtype, "mean")
    if tape.records(x):
        shape = meta(x)
        tape.record([out], [x], fresh(tape, shape), [])
    return out


def saves_output(x: Tensor, op: str) -> Tensor:
    """A pointwise function whose derivative is written in its result: relu, tanh, sigmoid, rsqrt, exp."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, op)
    if tape.records(x):
        kept = out.detach()

        def backward(grad: Tensor, saved: Tensor = kept) -> tuple[Gradient]:
            return (tape.new(*meta(saved), "gradient"),)

        tape.record([out], [x], backward, [out])
    return out


def saves_input(x: Tensor, op: str) -> Tensor:
    """A pointwise function with a fused derivative that reads its input: silu, gelu, softplus."""
    tape = x.tape
    out = tape.new(x.rows, x.cols, x.dtype, op)
    if tape.records(x):

        def backward(grad: Tensor, saved: Tensor = x) -> tuple[Gradient]:
            return (tape.new(*meta(saved), "gradient"),)

        tape.record([out], [x], backward, [x])
    return out


def softmax(x: Tensor, dtype: str | None = None) -> Tensor:
    """`softmax(x, dtype=dtype)`; saves its result.

    CUDA fuses the cast for float16 only (`aten/src/ATen/native/SoftMax.cpp`); bfloat16 is copied first.
    """
    tape = x.tape
    dtype = dtype or ("float32" if tape.autocast else x.dtype)
    source = x
    if dtype != x.dtype and x.dtype != "float16":
        source = to(x, dtype)
    out = tape.new(x.rows, x.cols, dtype, "softmax")
    if tape.records(x):
        kept = out.detach()
        before = meta(source)

        def backward(grad: Tensor, saved: Tensor = kept) -> tuple[Gradient]:
            return (tape.new(*before, "gradient"),)

        tape.record([out], [source], backward, [out])
    return out


def dropout(x: Tensor, probability: float) -> Tensor:
    """`native_dropout` in training: a boolean mask is saved, nothing else."""
    tape = x.tape
    if probability == 0 or not tape.training:
        return x
    out = tape.new(x.rows, x.cols, x.dtype, "dropout")
    mask = tape.new(x.rows, x.cols, "int8", "dropout mask")
    if tape.records(x):
        shape = meta(x)

        def backward(grad: Tensor, saved: Tensor = mask) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient"),)

        tape.record([out], [x], backward, [mask])
    return out


def narrow(x: Tensor, cols: int) -> Tensor:
    """A slice of the width: a view; its gradient is a full buffer of zeros with the slice filled in."""
    tape = x.tape
    out = Tensor(tape, x.rows, cols, x.dtype, storage=x.storage)
    if tape.records(x):
        shape = meta(x)
        tape.record([out], [x], fresh(tape, shape, "gradient of a slice"), [])
    return out


def split(x: Tensor, widths: Sequence[int]) -> list[Tensor]:
    """`x.split(widths, -1)` or `x.chunk(n, -1)`: views; one node concatenates their gradients."""
    tape = x.tape
    outs = [Tensor(tape, x.rows, width, x.dtype, storage=x.storage) for width in widths]
    if tape.records(x):
        shape = meta(x)
        tape.record(outs, [x], lambda *grads: (tape.new(*shape, "gradient of the parts"),), [])
    return outs


def cat(parts: Sequence[Tensor]) -> Tensor:
    """`torch.cat(parts, -1)`; the gradients of the parts are views."""
    tape = parts[0].tape
    dtype = parts[0].dtype
    for part in parts:
        dtype = promote(dtype, part.dtype)
    out = tape.new(parts[0].rows, sum(part.cols for part in parts), dtype, "concatenation")
    if tape.records(*parts):
        shapes = [meta(part) if part.requires_grad else None for part in parts]

        def backward(grad: Tensor) -> tuple[Gradient, ...]:
            return tuple(
                None
                if shape is None
                else reduced(Tensor(tape, shape.rows, shape.cols, grad.dtype, storage=grad.storage), shape)
                for shape in shapes
            )

        tape.record([out], list(parts), backward, [])
    return out


def expand(x: Tensor, times: int) -> Tensor:
    """`expand` alone: a view `times` as wide; gradients are summed."""
    if times == 1:
        return x
    tape = x.tape
    out = Tensor(tape, x.rows, x.cols * times, x.dtype, storage=x.storage)
    if tape.records(x):
        tape.record([out], [x], fresh(tape, meta(x), "gradient sum"), [])
    return out


def expand_copy(x: Tensor, times: int) -> Tensor:
    """`expand` followed by a `reshape` that copies (`repeat_kv`): `times` as wide; gradients are summed."""
    if times == 1:
        return x
    tape = x.tape
    out = tape.new(x.rows, x.cols * times, x.dtype, "repeated heads")
    if tape.records(x):
        shape = meta(x)
        tape.record([out], [x], fresh(tape, shape, "gradient sum"), [])
    return out


def matmul(a: Tensor, b: Tensor, rows: Size, cols: int, op: str = "matmul") -> Tensor:
    """A batched product of two activations with a result of `rows` x `cols`; saves what gradients need."""
    tape = a.tape
    out = tape.new(rows, cols, promote(a.dtype, b.dtype), op)
    first, second, result = meta(a), meta(b), meta(out)
    count_product(tape, first, second, result)
    if tape.records(a, b):
        saved_a = a if b.requires_grad else None
        saved_b = b if a.requires_grad else None

        def gradient(of: Meta) -> Tensor:
            made = tape.new(*of, "gradient")
            count_product(tape, first, second, result)
            return made

        def backward(grad: Tensor) -> tuple[Gradient, Gradient]:
            return (
                gradient(first) if saved_b is not None else None,
                gradient(second) if saved_a is not None else None,
            )

        tape.record([out], [a, b], backward, [x for x in (saved_a, saved_b) if x is not None])
    return out


def count_product(tape: Tape, a: Meta, b: Meta, out: Meta) -> None:
    """The buffer made last is one of the three products of `a`, `b` and `out = a @ b`, which take the same FLOPs.

    With attention scores (SCORES rows, a column per head) among the three, the columns of the others are heads and
    their widths.
    """
    if out.rows.scores:
        flops = out.rows.times(2 * a.cols)
    elif a.rows.scores:
        flops = a.rows.times(2 * out.cols)
    else:
        flops = out.rows.times(2 * out.cols * a.cols)
    moved = _bytes(a).plus(_bytes(b)).plus(_bytes(out))
    kind = ATTENTION if out.rows.scores or a.rows.scores else MATRIX
    tape.meter.product(Product(kind, flops, moved, out.dtype))


def _bytes(m: Meta) -> Size:
    return m.rows.times(m.cols * DTYPE_BYTES[m.dtype])

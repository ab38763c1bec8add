"""What LoRA's layers compute, as tensor operations.

Source: `peft/tuners/lora/layer.py` (`Linear`, `Embedding`, `ParamWrapper`) and `dora.py` (0.21). Local
variables here are local variables there: they decide what is alive beside what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module, Shape
from planner.methods.base import kept_dtype
from planner.tape import ONE, TOKENS, Tensor, layers, ops
from planner.tape.tape import Gradient
from planner.units import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward


def update(forward: BlockForward, name: str, module: Module, x: Tensor) -> Tensor:
    """lora_B(lora_A(dropout(x))) * scaling"""
    x = ops.dropout(x, forward.run.dropout)
    inner = layers.linear(x, _a(forward, name, module), op="lora_A output")
    del x
    return ops.scale(layers.linear(inner, _b(forward, name, module), op="lora_B output"))


def dora(forward: BlockForward, name: str, module: Module, x: Tensor, result: Tensor) -> Tensor:
    """`DoraLinearVariant.forward` without the final sum: the magnitude rescales the base result.

    With dropout, in training, that is computed anew from the dropped input. The update matrix, its graph (where
    one is recorded) and the weight in x's dtype live until the end.
    """
    base_result: Tensor | None = result
    if forward.run.dropout and forward.tape.training:
        x = ops.dropout(x, forward.run.dropout)
        base_result = None
    *graph, matrix = _update_matrix(forward, name, module)
    if not forward.tape.grad_enabled:
        graph.clear()
    matrix = ops.to(matrix, x.dtype)
    weight = forward.weight_copy(name, module, x.dtype)
    norm = _weight_norm(forward, module, x.dtype)
    magnitude = ops.mul(forward.adapter(name, "lora_magnitude_vector", 1, module.out_features), norm)
    lora = layers.linear(layers.linear(x, _a(forward, name, module)), _b(forward, name, module))
    if base_result is None:
        base_result = layers.linear(x, weight)
    elif module.bias:
        # `base_result - bias`, in the wider of their dtypes: autocast's result, and a bias in the dtype of the model
        wider = (
            base_result.dtype if DTYPE_BYTES[base_result.dtype] >= DTYPE_BYTES[kept_dtype(forward.run)] else "float32"
        )
        base_result = ops.shift(base_result) if wider == base_result.dtype else ops.to(base_result, wider)
    total = ops.add(
        ops.mul(ops.shift(magnitude), base_result),
        ops.scale(ops.mul(magnitude, lora)),
    )
    del graph, matrix
    return total


def _update_matrix(forward: BlockForward, name: str, module: Module) -> tuple[Tensor, Tensor, Tensor]:
    """`get_lora_weight`: lora_B(lora_A(I)), the last of the three.

    It is detached only where it is used, so that the graph of this product, which is never run backward,
    keeps its inputs as long as the result lives.
    """
    tape = forward.tape
    # autocast's copies of the factors are cached with their graph, for the product with x
    a = layers.autocast_weight(_a(forward, name, module))
    b = layers.autocast_weight(_b(forward, name, module))
    records, tape.grad_enabled = tape.grad_enabled, False
    identity = tape.new(ONE.times(module.in_features), module.in_features, forward.run.adapter_dtype, "identity")
    identity = layers.autocast_input(identity)
    inner = layers.linear(identity, a)
    matrix = layers.linear(inner, b, op="DoRA update")
    tape.grad_enabled = records
    return identity, inner, matrix


def _weight_norm(forward: BlockForward, module: Module, dtype: str) -> Tensor:
    """`get_weight_norm`: the update scaled, and its sum with the weight; both gone when the norm is known."""
    tape = forward.tape
    shape = (ONE.times(module.out_features), module.in_features)
    scaled = tape.new(*shape, dtype, "DoRA scaled update")
    weight = tape.new(*shape, dtype, "DoRA sum")
    del scaled
    norm = tape.new(ONE, module.out_features, dtype, "DoRA norm")
    del weight
    return norm


def embedding_update(forward: BlockForward, architecture: Architecture, result: Tensor) -> Tensor:
    """`lora.Embedding.forward`: rows of A.T, times B.T, added to the model's embedding."""
    module = next(module for module in architecture.outer if module.name == architecture.embed)
    rank, dtype = forward.run.rank, result.dtype
    a = forward.adapter(module.name, "lora_embedding_A", rank, module.in_features)
    b = forward.adapter(module.name, "lora_embedding_B", module.out_features, rank)
    after_a = layers.embedding(forward.tape, _transposed(a, module.in_features, rank), TOKENS)
    output = ops.scale(layers.linear(after_a, b))
    return ops.to(ops.add(result, output), dtype)


def _transposed(weight: Tensor, rows: int, cols: int) -> Tensor:
    """`weight.T`: a view; its gradient is copied into the parameter's own layout when it arrives there."""
    tape = weight.tape
    view = Tensor(tape, ONE.times(rows), cols, weight.dtype)
    if tape.records(weight):
        shape = ops.meta(weight)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient copy"),)

        tape.record([view], [weight], backward, [])
    return view


def merged_stack(forward: BlockForward, name: str, shape: Shape, rank: int, base: Tensor) -> Tensor:
    """A stack of expert matrices with its update: `ParamWrapper` folds it in with one `baddbmm`.

    The factors are cast to the parameter's dtype; the sum is a copy of the whole stack.
    """
    tape = forward.tape
    experts, rows, cols = shape
    a = ops.to(forward.adapter(name, "lora_A.weight", rank * experts, cols), base.dtype)
    b = ops.to(forward.adapter(name, "lora_B.weight", rows, rank * experts), base.dtype)
    out = tape.new(base.rows, base.cols, base.dtype, "experts with their adapter")
    tape.multiplies(base.rows, rank, base.cols, base.dtype)
    # `register_parametrization` makes one before, to check its shape
    tape.multiplies(base.rows, rank, base.cols, base.dtype, in_place=True)
    if tape.records(a, b):
        stack = ops.meta(out)

        def backward(grad: Tensor, saved: tuple[Tensor, Tensor] = (a, b)) -> tuple[Gradient, Gradient]:
            products: list[Tensor] = []
            for factor in saved:
                products.append(tape.new(*ops.meta(factor), "gradient product"))
                tape.multiplies(stack.rows, rank, stack.cols, stack.dtype)
            first, second = (tape.new(*ops.meta(factor), "gradient") for factor in saved)
            del products
            return first, second

        tape.record([out], [a, b], backward, [t for t in (a, b) if t.storage is not None])
    return out


def merged_matrix(forward: BlockForward, name: str, shape: Shape, rank: int, base: Tensor) -> Tensor:
    """One matrix with its update: lora_B.weight @ lora_A.weight, scaled, cast and added."""
    rows, cols = shape[-2:]
    a = layers.autocast_weight(forward.adapter(name, "lora_A.weight", rank, cols))
    b = layers.autocast_weight(forward.adapter(name, "lora_B.weight", rows, rank))
    delta = ops.scale(ops.matmul(b, a, ONE.times(rows), cols, "update"))
    return ops.add(base, ops.to(delta, base.dtype).view(base.rows, base.cols))


def _a(forward: BlockForward, name: str, module: Module) -> Tensor:
    return forward.adapter(name, "lora_A.weight", forward.run.rank, module.in_features)


def _b(forward: BlockForward, name: str, module: Module) -> Tensor:
    return forward.adapter(name, "lora_B.weight", module.out_features, forward.run.rank)

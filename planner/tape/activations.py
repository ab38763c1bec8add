"""Activation functions by their name in transformers (`ACT2FN`): fused ones, and ones composed of operators.

A composed activation keeps several tensors of its input's size where a fused one keeps its input alone,
which for GPT-2's `gelu_new` is most of what its MLP saves. Source: `transformers/activations.py` (5.23).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.tape import ops
from planner.tape.tape import Gradient
from planner.tape.tensor import Tensor


def activation(name: str, x: Tensor) -> Tensor:
    """`ACT2FN[name](x)`; `name` is one of `ACTIVATIONS`."""
    return ACTIVATIONS[name](x)


def power(x: Tensor) -> Tensor:
    """`torch.pow(x, number)`, which CUDA's autocast runs in float32. All exponents are derived alike."""
    if x.tape.autocast:
        x = ops.to(x, "float32")
    return ops.square(x)


def gelu_new(x: Tensor) -> Tensor:
    """`NewGELUActivation`: 0.5 * x * (1 + tanh(c * (x + 0.044715 * pow(x, 3))))."""
    return ops.mul(
        ops.scale(x),
        ops.shift(ops.saves_output(ops.scale(ops.add(x, ops.scale(power(x)))), "tanh")),
    )


def gelu_fast(x: Tensor) -> Tensor:
    """`FastGELUActivation`: 0.5 * x * (1 + tanh(x * c * (1 + 0.044715 * x * x)))."""
    return ops.mul(ops.scale(x), ops.shift(_tanh_of_cubic(x)))


def quick_gelu(x: Tensor) -> Tensor:
    """`QuickGELUActivation`: x * sigmoid(1.702 * x)."""
    return ops.mul(x, ops.saves_output(ops.scale(x), "sigmoid"))


def relu2(x: Tensor) -> Tensor:
    """`ReLUSquaredActivation`: square(relu(x))."""
    return power(relu(x))


def relu(x: Tensor) -> Tensor:
    """`F.relu`."""
    return ops.saves_output(x, "relu")


def bloom_gelu(x: Tensor) -> Tensor:
    """`BloomGelu`: composed like `gelu_fast`, but as one `autograd.Function` that saves its input alone.

    Its forward and backward pass run without a graph, in temporaries.
    """
    tape = x.tape
    kept = x.detach()
    out = gelu_fast(kept)
    if tape.records(x):

        def backward(grad: Tensor, saved: Tensor = kept) -> tuple[Gradient]:
            return (ops.mul(_bloom_gelu_derivative(saved), grad.detach()),)

        tape.record([out], [x], backward, [x])
    return out


def _bloom_gelu_derivative(x: Tensor) -> Tensor:
    """`bloom_gelu_back`: 0.5x * ((1 - tanh²)(c + d * x * x)) + 0.5(1 + tanh)."""
    tanh = _tanh_of_cubic(x)
    return ops.add(
        ops.mul(
            ops.scale(x),
            ops.mul(ops.shift(ops.mul(tanh, tanh)), ops.shift(ops.mul(ops.scale(x), x))),
        ),
        ops.scale(ops.shift(tanh)),
    )


def _tanh_of_cubic(x: Tensor) -> Tensor:
    """tanh(c * x * (1 + 0.044715 * x * x))"""
    return ops.saves_output(ops.mul(ops.scale(x), ops.shift(ops.mul(ops.scale(x), x))), "tanh")


def _fused(name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: ops.saves_input(x, name)


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": _fused("gelu"),
    "gelu_pytorch_tanh": _fused("gelu"),
    "gelu_new": gelu_new,
    "gelu_accurate": gelu_new,
    "gelu_fast": gelu_fast,
    "quick_gelu": quick_gelu,
    "relu": relu,
    "relu2": relu2,
    "silu": _fused("silu"),
    "swish": _fused("silu"),
    "mish": _fused("mish"),
    "sigmoid": lambda x: ops.saves_output(x, "sigmoid"),
    "tanh": lambda x: ops.saves_output(x, "tanh"),
}
"""Name in `ACT2FN` -> operators. What is not here (clipped, learned or rarely used ones) is not covered."""

"""What the prompt methods share: an encoder's layers, and putting its output before the tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.methods.base import AddedTensor
from planner.tape import ONE, TOKENS, Size, Tensor, layers, ops
from planner.tape.tape import Gradient

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward


def encoder_layer(name: str, in_features: int, out_features: int, dtype: str) -> tuple[AddedTensor, AddedTensor]:
    """Weight and bias of one linear layer of a prompt encoder."""
    return (
        AddedTensor(f"{name}.weight", (out_features, in_features), dtype),
        AddedTensor(f"{name}.bias", (out_features,), dtype),
    )


def encoder_linear(forward: BlockForward, name: str, x: Tensor, in_features: int, out_features: int) -> Tensor:
    """That layer applied to x."""
    weight = forward.adapter(name, "weight", out_features, in_features)
    return layers.linear(x, weight, forward.adapter(name, "bias", 1, out_features))


def embedded(forward: BlockForward, name: str, tokens: int, width: int, rows: Size | None = None) -> Tensor:
    """The learned embeddings of the virtual tokens, `tokens` x `width`, looked up for `rows` of them."""
    weight = forward.adapter("", name, tokens, width)
    return layers.embedding(forward.tape, weight, rows or ONE.times(tokens))


def before_tokens(forward: BlockForward, embeds: Tensor, prompt: Callable[[], Tensor]) -> Tensor:
    """The prompt repeated for every sequence, cast, and concatenated with the tokens' embeddings.

    `PeftModelForCausalLM.forward` holds the repeated prompt until the whole forward pass is over.
    """
    tape, tokens, dtype = forward.tape, forward.run.num_virtual_tokens, embeds.dtype
    prompts = ops.to(_repeated(prompt(), Size(batch=tokens)), dtype)
    forward.hold(prompts)
    out = tape.new(TOKENS, embeds.cols, dtype, "prompt and tokens")
    if tape.records(prompts, embeds):
        first = ops.meta(prompts)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (Tensor(tape, first.rows, first.cols, grad.dtype, storage=grad.storage),)

        tape.record([out], [prompts], backward, [])
    return out


def _repeated(x: Tensor, rows: Size) -> Tensor:
    """`x.repeat(B, 1, 1)`: the gradient is the sum over the batch."""
    tape = x.tape
    out = tape.new(rows, x.cols, x.dtype, "repeated prompt")
    if tape.records(x):
        shape = ops.meta(x)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient sum"),)

        tape.record([out], [x], backward, [])
    return out

"""Trainable tokens: new embeddings for a few token ids, written over the frozen matrix at every forward.

Source: `peft/tuners/trainable_tokens` (0.21). The matrix with the trained rows is a copy of the embedding.
A tied head is wrapped as well and makes a copy of its own from the same trained rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module
from planner.errors import InputError
from planner.methods.base import AddedTensor, Method
from planner.tape import Tensor, layers, ops
from planner.tape.tape import Gradient

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun

_DELTA = "trainable_tokens_delta"


class TrainableTokens(Method):
    """Trains `trainable_token_count` rows of the input embedding."""

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        if run.trainable_token_count > architecture.vocab_size:
            raise InputError(
                f"trainable_token_count {run.trainable_token_count:,} is more than the tokens of this model, "
                f"{architecture.vocab_size:,}; lower it",
                field="trainable_token_count",
            )
        tied = (module.name for module in architecture.outer if module.tied_to == architecture.embed)
        return frozenset((architecture.embed, *tied))

    def added(self, architecture: Architecture, run: TrainingRun, name: str, module: Module) -> tuple[AddedTensor, ...]:
        shape = (run.trainable_token_count, architecture.hidden_size)
        if name != architecture.embed:
            return (AddedTensor(_DELTA, shape, run.adapter_dtype, shared=True),)
        return (
            AddedTensor(_DELTA, shape, run.adapter_dtype),
            AddedTensor("trainable_tokens_original", shape, run.adapter_dtype, saved=False, trained=False),
        )

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        weight = _written_over(forward, f"{architecture.embed}.weight")
        result = base()
        tape, shape = forward.tape, ops.meta(weight)
        if tape.records(weight):

            def backward(grad: Tensor) -> tuple[Gradient]:
                return (tape.new(*shape, "weight gradient"),)

            tape.record([result], [weight], backward, [])
        return result

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        weight = _written_over(forward, f"{name}.weight")
        return layers.linear(x, weight)


METHOD = TrainableTokens()


def _written_over(forward: BlockForward, name: str) -> Tensor:
    """`get_merged_weights`: a copy of the matrix with the trained rows in it (`index_copy`)."""
    tape, count = forward.tape, forward.run.trainable_token_count
    weight = forward.parameter(name)
    delta = ops.to(forward.adapter("", _DELTA, count, weight.cols), weight.dtype)
    out = tape.new(weight.rows, weight.cols, weight.dtype, "embedding with trained rows")
    if tape.records(delta):
        shape = ops.meta(delta)

        def backward(grad: Tensor) -> tuple[Gradient]:
            return (tape.new(*shape, "gradient of the trained rows"),)

        tape.record([out], [delta], backward, [])
    return out

"""P-tuning: embeddings of virtual tokens that an encoder of three linear layers makes.

Source: `peft/tuners/p_tuning/model.py` (0.21) with its default encoder, an MLP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.methods.base import AddedTensor, Method
from planner.methods.prompts import before_tokens, embedded, encoder_layer, encoder_linear
from planner.tape import Tensor, ops

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class PTuning(Method):
    """Trains the embeddings and the encoder; the file holds the encoder's results alone."""

    def added_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        width, dtype = architecture.hidden_size, run.adapter_dtype
        inner = run.encoder_hidden_size or width
        return (
            AddedTensor("embedding.weight", (run.num_virtual_tokens, width), dtype, embedding=True),
            *encoder_layer("mlp_head.0", width, inner, dtype),
            *encoder_layer("mlp_head.2", inner, inner, dtype),
            *encoder_layer("mlp_head.4", inner, width, dtype),
        )

    def file_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        shape = (run.num_virtual_tokens, architecture.hidden_size)
        return (AddedTensor("prompt_embeddings", shape, run.adapter_dtype),)

    def virtual_tokens(self, run: TrainingRun) -> int:
        return run.num_virtual_tokens

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        return before_tokens(forward, base(), lambda: _encoded(forward, architecture.hidden_size))


METHOD = PTuning()


def _encoded(forward: BlockForward, width: int) -> Tensor:
    run = forward.run
    inner = run.encoder_hidden_size or width
    embeds = embedded(forward, "embedding.weight", run.num_virtual_tokens, width)
    x = ops.saves_output(encoder_linear(forward, "mlp_head.0", embeds, width, inner), "relu")
    x = ops.saves_output(encoder_linear(forward, "mlp_head.2", x, inner, inner), "relu")
    return encoder_linear(forward, "mlp_head.4", x, inner, width)

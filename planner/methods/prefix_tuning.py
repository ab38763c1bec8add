"""Prefix tuning: learned keys and values before every sequence's own, in each layer.

Source: `peft/tuners/prefix_tuning/model.py` and `PeftModel.get_prompt` (0.21).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.methods.base import AddedTensor, Method
from planner.methods.prompts import embedded, encoder_layer, encoder_linear
from planner.tape import Size, Tensor, ops

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class PrefixTuning(Method):
    """Trains a key and a value per virtual token and layer, or an encoder that makes them."""

    def added_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        width, dtype = architecture.kv_width, run.adapter_dtype
        tokens, every = run.num_virtual_tokens, 2 * architecture.num_layers * width
        if not run.prefix_projection:
            return (AddedTensor("prompt_embeddings", (tokens, every), dtype, embedding=True),)
        inner = run.encoder_hidden_size or width
        return (
            AddedTensor("embedding.weight", (tokens, width), dtype, embedding=True),
            *encoder_layer("transform.0", width, inner, dtype),
            *encoder_layer("transform.2", inner, every, dtype),
        )

    def file_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        every = 2 * architecture.num_layers * architecture.kv_width
        return (AddedTensor("prompt_embeddings", (run.num_virtual_tokens, every), run.adapter_dtype),)

    def prefix_tokens(self, run: TrainingRun) -> int:
        return run.num_virtual_tokens

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        run = forward.run
        embeds = base()
        every = 2 * architecture.num_layers * architecture.kv_width
        forward.prefix = ops.to(_encoded(forward, architecture.kv_width, every), run.base_dtype)
        return embeds


METHOD = PrefixTuning()


def _encoded(forward: BlockForward, width: int, every: int) -> Tensor:
    """`PrefixEncoder.forward`, for every sequence of the batch: B*v x `every`."""
    run = forward.run
    tokens = run.num_virtual_tokens
    rows = Size(batch=tokens)
    if not run.prefix_projection:
        return embedded(forward, "prompt_embeddings", tokens, every, rows)
    inner = run.encoder_hidden_size or width
    x = embedded(forward, "embedding.weight", tokens, width, rows)
    x = ops.saves_output(encoder_linear(forward, "transform.0", x, width, inner), "tanh")
    return encoder_linear(forward, "transform.2", x, inner, every)

"""Prompt tuning: learned embeddings of virtual tokens before every sequence.

Source: `peft/tuners/prompt_tuning/model.py` and `PeftModelForCausalLM.forward` (0.21).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.methods.base import AddedTensor, Method
from planner.methods.prompts import before_tokens, embedded
from planner.tape import Tensor

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class PromptTuning(Method):
    """Trains one embedding per virtual token."""

    def added_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        shape = (run.num_virtual_tokens, architecture.hidden_size)
        return (AddedTensor("prompt_embeddings", shape, run.adapter_dtype, embedding=True),)

    def virtual_tokens(self, run: TrainingRun) -> int:
        return run.num_virtual_tokens

    def embed(
        self, forward: BlockForward, architecture: Architecture, base: Callable[[], Tensor], *, wrapped: bool
    ) -> Tensor:
        width = architecture.hidden_size
        tokens = forward.run.num_virtual_tokens
        return before_tokens(forward, base(), lambda: embedded(forward, "prompt_embeddings", tokens, width))


METHOD = PromptTuning()

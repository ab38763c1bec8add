"""What a training method is: targets, added tensors, and a forward pass at the modules it touches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module, Shape
from planner.tape import Tensor

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class AddedTensor:
    """A trainable tensor that a method adds to the model."""

    name: str
    """Its name in the adapter file, after the name of the module it belongs to: `lora_A.weight`."""
    shape: Shape
    dtype: str
    saved: bool = True
    """Whether `save_pretrained` writes it."""
    trained: bool = True

    @property
    def count(self) -> int:
        """Elements."""
        return prod(self.shape)


class Method:
    """The interface, with the answers of a method that changes nothing."""

    freezes_base = True
    """Whether the base model's own parameters are frozen."""

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        """Full names of the modules the method wraps. Raises `InputError` where a run's targets match none."""
        return frozenset()

    def added(self, name: str, module: Module, run: TrainingRun) -> tuple[AddedTensor, ...]:
        """Tensors added at a wrapped module; `name` is its name in its block, or its full name outside."""
        return ()

    def added_once(self, architecture: Architecture, run: TrainingRun) -> tuple[AddedTensor, ...]:
        """Tensors added to the model as a whole (prompt embeddings), under their names in the adapter file."""
        return ()

    def trains(self, name: str, module: Module, run: TrainingRun) -> tuple[str, ...]:
        """Names of the base parameters of `module` that are trained themselves (`bias="all"`, full)."""
        return ()

    def virtual_tokens(self, run: TrainingRun) -> int:
        """Tokens put before every sequence of the batch (prompt tuning)."""
        return 0

    def prefix_tokens(self, run: TrainingRun) -> int:
        """Learned keys and values put before every sequence's own, in each layer (prefix tuning)."""
        return 0

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The forward pass of a wrapped linear module; `base(x)` is that of the module itself."""
        return base(x)

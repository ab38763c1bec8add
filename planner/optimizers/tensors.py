"""What optimizers are told about the tensors they train, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from planner.architecture.modules import Shape


@dataclass(frozen=True, slots=True)
class Trained:
    """Trained tensors of one shape and dtype."""

    shape: Shape
    dtype: str
    count: int = 1
    """How many of them there are."""
    embedding: bool = False
    """Whether they are weights of an `nn.Embedding`, whose states `Trainer` keeps in 32 bits
    (`Trainer.create_optimizer`; a tied head shares the tensor and with it the rule)."""

    @property
    def elements(self) -> int:
        """Elements of one tensor."""
        return prod(self.shape)


class StateBytes(NamedTuple):
    """Bytes of optimizer states, all tensors together."""

    device: int
    """In the device's memory, from the framework's allocator."""
    host: int
    """In host memory. Paged states are CUDA managed memory: at home on the host, and moved to the card
    page by page while the optimizer works on them, as far as there is room."""

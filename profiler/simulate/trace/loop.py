"""What the code around the model does in a step: `Trainer`'s way, or another loop's.

It is no part of a `TrainingRun`, which is a run by `Trainer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Loop:
    """How a training loop differs from transformers' `Trainer`, as far as memory goes."""

    prepare: tuple[Callable[[Any], None], ...] = ()
    """Applied to the loaded model, PEFT around it, before the first step."""
    keeps_outputs: bool = False
    """A step's outputs, with the KV cache in them, stay until the forward pass of the next step has made its own."""
    zero_grad_first: bool = False
    """Gradients are dropped as a step begins, and not at the end of the one that made them."""


TRAINER = Loop()

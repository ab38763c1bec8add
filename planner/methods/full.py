"""Full fine-tuning: every parameter of the base model is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.architecture.modules import Module
from planner.methods.base import Method

if TYPE_CHECKING:
    from planner.run import TrainingRun


class Full(Method):
    """Trains the base model's own parameters and adds none."""

    def trains(self, module: Module, run: TrainingRun, *, wrapped: bool) -> tuple[str, ...]:
        return tuple(parameter for parameter, _ in module.parameters)


METHOD = Full()

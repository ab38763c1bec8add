"""Layer-norm tuning: copies of the normalisation layers are trained in their place.

Source: `peft/tuners/ln_tuning` (0.21): each target is deep-copied, in its own dtype.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.errors import InputError
from planner.methods.base import Method
from planner.methods.defaults import default_targets
from planner.methods.saved_modules import saved_modules
from planner.methods.targets import EVERY, match_targets
from planner.quantization import is_quantized

if TYPE_CHECKING:
    from planner.run import TrainingRun


class LnTuning(Method):
    """Trains a copy of every target, by default the norms that PEFT names for the model type."""

    def copies(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        return tuned(architecture, run) | saved_modules(architecture, run)


METHOD = LnTuning()


def tuned(architecture: Architecture, run: TrainingRun) -> frozenset[str]:
    """Full names of the modules that are copied as targets, not as `modules_to_save`."""
    chosen = run.target_modules or default_targets("ln_tuning_targets", architecture.model_type)
    found = match_targets(architecture, run, EVERY, chosen)
    modules = dict(architecture.modules())
    for name in sorted(found):
        if is_quantized(architecture, name, modules[name], run):
            raise InputError(
                f"target_modules matches '{name}', whose {run.quantization} weight cannot be trained; "
                "leave it out, or set quantization to none",
                field="target_modules",
            )
    return found

"""IA³: one learned factor per feature, on keys, values and the feed-forward layer.

Source: `peft/tuners/ia3` (0.21): `layer.py`, `bnb.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Module
from planner.methods.base import AddedTensor, Method
from planner.methods.defaults import default_targets, feedforward_modules
from planner.methods.targets import LINEAR, match_targets
from planner.tape import Tensor, ops

if TYPE_CHECKING:
    from planner.memory.forward import BlockForward
    from planner.run import TrainingRun


class Ia3(Method):
    """Scales the outputs of its targets, and the inputs of those that PEFT counts as feed-forward.

    Which ones are feed-forward is PEFT's default for the model type; without one, none.
    """

    def targets(self, architecture: Architecture, run: TrainingRun) -> frozenset[str]:
        chosen = run.target_modules or default_targets("ia3_targets", architecture.model_type)
        return match_targets(architecture, run, LINEAR, chosen)

    def added(self, architecture: Architecture, run: TrainingRun, name: str, module: Module) -> tuple[AddedTensor, ...]:
        inner = is_feedforward(architecture.model_type, name)
        shape = (1, module.in_features) if inner else (module.out_features, 1)
        return (AddedTensor("ia3_l", shape, run.adapter_dtype),)

    def forward(
        self, forward: BlockForward, name: str, module: Module, x: Tensor, base: Callable[[Tensor], Tensor]
    ) -> Tensor:
        inner = is_feedforward(forward.model_type, name)
        width = module.in_features if inner else module.out_features
        factors = ops.scale(forward.adapter(name, "ia3_l", 1, width))
        if forward.run.quantization in ("nf4", "fp4", "int8"):
            return _forward_bnb(forward, x, base, factors, inner)
        if inner:
            dtype = x.dtype
            x = ops.to(x, forward.run.adapter_dtype)
            scaled = ops.to(ops.mul(x, factors), dtype)
            return base(scaled)
        result = base(x)
        dtype = result.dtype
        return ops.to(ops.mul(result, factors), dtype)


METHOD = Ia3()


def is_feedforward(model_type: str, name: str) -> bool:
    """Whether the input, not the output, of the module is scaled (`_check_target_module_feedforward`)."""
    return name.endswith(feedforward_modules(model_type) or ("\0",))


def _forward_bnb(
    forward: BlockForward, x: Tensor, base: Callable[[Tensor], Tensor], factors: Tensor, inner: bool
) -> Tensor:
    converts = forward.tape.autocast is None and x.dtype != "float32"
    if converts:
        x = ops.to(x, "float32")
    if inner:
        result = base(ops.mul(x, factors))
        dtype = result.dtype
    else:
        result = base(x)
        dtype = result.dtype
        result = ops.mul(result, factors)
    if forward.run.quantization != "int8":
        result = ops.contiguous(result)
    return ops.to(result, dtype) if converts else result

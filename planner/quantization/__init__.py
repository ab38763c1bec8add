"""Quantisation schemes: what a quantised weight weighs, and what a product with it allocates.

One file per scheme behind `Scheme`. Which modules are quantised is the same for all of them: the linear
layers inside the model, except the output head (`get_keys_to_not_convert` in transformers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from planner.architecture.modules import Architecture, Module
from planner.tape import Tensor

if TYPE_CHECKING:
    from planner.run import TrainingRun


class Scheme(Protocol):
    """One way to store linear weights in fewer bits."""

    def weight_bytes(self, module: Module, run: TrainingRun) -> int:
        """Bytes that the weight of `module` and its quantisation constants take on the device."""
        ...

    def linear(self, module: Module, x: Tensor, run: TrainingRun) -> Tensor:
        """The product of x with the quantised weight, without the bias."""
        ...


def scheme(name: str) -> Scheme | None:
    """The scheme a run's `quantization` names, None for `none`."""
    if name == "none":
        return None
    if name in ("nf4", "fp4"):
        from planner.quantization import bnb_4bit as chosen
    elif name == "int8":
        from planner.quantization import bnb_int8 as chosen
    else:
        from planner.quantization import gptq as chosen
    return chosen


def is_quantized(architecture: Architecture, name: str, module: Module, run: TrainingRun) -> bool:
    """Whether the run's scheme replaces this module: a linear layer that is not the output head."""
    return run.quantization != "none" and module.kind == "linear" and name != architecture.head

"""The optimizers of `torch.optim`, as CUDA runs them: fused where asked for, else foreach.

Source: `torch/optim/{adam,sgd,adagrad,rmsprop}.py` (2.13). States have the parameter's dtype
(`zeros_like`). A foreach step works on lists of tensors of one dtype and makes whole lists of
intermediate results: `exp_avg_sq_sqrt` (AdamW), `avg` (RMSprop), `std` and `numerator` (Adagrad).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from planner.optimizers.tensors import StateBytes, Trained
from planner.units import DTYPE_BYTES

STEP_BYTES = 4
"""`state["step"]`: a float32 scalar per tensor."""


@dataclass(frozen=True, slots=True)
class TorchOptimizer:
    """An optimizer with a number of states shaped like the parameter."""

    states: int
    step: Literal["none", "cpu", "device"]
    """Where the step counter of each tensor lives: on the device only for fused kernels."""
    copies: int
    """Lists the size of the parameters that the step holds at once."""
    passes: int
    """How often the step reads or writes a list the size of the parameters. Of `_multi_tensor_adamw`: lerp 3, mul 2,
    addcmul 4, sqrt 2, div 2, add 2, addcdiv 4; a fused one reads four lists and writes three; the others likewise."""

    def state_bytes(self, tensors: Iterable[Trained]) -> StateBytes:
        """states x the parameter's bytes, and a step counter per tensor."""
        size = steps = 0
        for tensor in tensors:
            size += self.states * tensor.count * tensor.elements * DTYPE_BYTES[tensor.dtype]
            steps += tensor.count * STEP_BYTES
        return StateBytes(size + (steps if self.step == "device" else 0), steps if self.step == "cpu" else 0)

    def step_temporaries(self, tensors: Iterable[Trained]) -> int:
        """Bytes of the foreach lists.

        Dtypes are handled one after another in one function: the lists of the first are still held by its
        variables while the first list of the second is made.
        """
        if not self.copies:
            return 0
        by_dtype: dict[str, int] = {}
        for tensor in tensors:
            size = tensor.count * tensor.elements * DTYPE_BYTES[tensor.dtype]
            by_dtype[tensor.dtype] = by_dtype.get(tensor.dtype, 0) + size
        if not by_dtype:
            return 0
        return sum(by_dtype.values()) + (self.copies - 1) * max(by_dtype.values())

    def step_traffic(self, tensors: Iterable[Trained]) -> int:
        """passes x the parameters' bytes."""
        return self.passes * sum(tensor.count * tensor.elements * DTYPE_BYTES[tensor.dtype] for tensor in tensors)

"""bitsandbytes' optimizers: 8-bit blockwise or 32-bit states, resident or paged.

Source: `bitsandbytes/optim/optimizer.py` and `ademamix.py` (0.50). An 8-bit state is a byte per element
and a float32 absmax per block of 256; tensors under 4096 elements (`min_8bit_size`), and embeddings under
`Trainer`, keep float32 states whatever the parameter's dtype. The kernels work in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

from planner.errors import InputError
from planner.optimizers.tensors import StateBytes, Trained
from planner.units import DTYPE_BYTES

MIN_8BIT_SIZE = 4096
BLOCK = 256
MAP_BYTES = 256 * 4
MIN_PAGED_SIZE = 100_000
"""`get_state_buffer` pages tensors of at least 1e5 elements."""


@dataclass(frozen=True, slots=True)
class BnbOptimizer:
    """An `Optimizer1State`, `Optimizer2State` or AdEMAMix (three states in two buffers)."""

    states: int
    bits: int
    paged: bool = False
    bfloat16_in_32bit: bool = True
    """Whether the 32-bit kernel takes bfloat16 gradients (`str2optimizer32bit` in `backends/cuda/ops.py`)."""

    def state_bytes(self, tensors: Iterable[Trained]) -> StateBytes:
        """states x (1 byte per element + 4 per block of 256), or 4 bytes per element; and shared code maps.

        Raises `InputError` where bitsandbytes has no kernel for the gradients' dtype.
        """
        device = host = 0
        maps = 0
        for tensor in tensors:
            elements = tensor.elements
            in_8bit = self.bits == 8 and elements >= MIN_8BIT_SIZE and not tensor.embedding
            if not in_8bit and tensor.dtype == "bfloat16" and not self.bfloat16_in_32bit:
                raise InputError(
                    "bitsandbytes' RMSprop has no kernel for bfloat16 gradients with 32-bit states; "
                    "use optimizer rmsprop, or train in float32",
                    field="optimizer",
                )
            values = self.states * elements * (1 if in_8bit else 4) * tensor.count
            if self.paged and elements >= MIN_PAGED_SIZE:
                host += values
            else:
                device += values
            if in_8bit:
                device += self.states * ceil(elements / BLOCK) * 4 * tensor.count
                maps = min(self.states, 2) * MAP_BYTES  # signed and unsigned, shared by all tensors
        return StateBytes(device + maps, host)

    def step_temporaries(self, tensors: Iterable[Trained]) -> int:
        """None: on CUDA one kernel updates state and parameter in place."""
        return 0

    def step_traffic(self, tensors: Iterable[Trained]) -> int:
        """Parameter and gradient read, parameter written, and each state read and written, in one kernel."""
        traffic = 0
        for tensor in tensors:
            in_8bit = self.bits == 8 and tensor.elements >= MIN_8BIT_SIZE and not tensor.embedding
            states = 2 * self.states * (1 if in_8bit else 4)
            traffic += tensor.count * tensor.elements * (3 * DTYPE_BYTES[tensor.dtype] + states)
        return traffic

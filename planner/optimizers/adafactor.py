"""Adafactor as transformers writes it (`transformers/optimization.py`, 5.23), without a first moment.

The second moment of a matrix is kept as one float32 vector of row means and one of column means; that of
a vector in full. Tensors are stepped one by one, in float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

from planner.optimizers.tensors import StateBytes, Trained

FLOAT32 = 4
RMS_BYTES = 4
"""`state["RMS"]`: a float32 scalar per tensor, on the device."""


class Adafactor:
    """`Adafactor(scale_parameter=False, relative_step=False)`, the arguments `Trainer` gives."""

    def state_bytes(self, tensors: Iterable[Trained]) -> StateBytes:
        """float32 row and column means (in full for one dimension) and the RMS scalar, whatever the dtype."""
        total = 0
        for tensor in tensors:
            shape = tensor.shape
            kept = tensor.elements
            if len(shape) >= 2:
                kept = prod(shape[:-1]) + prod(shape[:-2]) * shape[-1]
            total += tensor.count * (FLOAT32 * kept + RMS_BYTES)
        return StateBytes(total, 0)

    def step_temporaries(self, tensors: Iterable[Trained]) -> int:
        """Bytes at the widest line of `step`, `update = (grad**2) + eps`, for the largest tensor.

        There grad**2 and the sum are alive, for a 16-bit parameter also float32 copies of it and of its
        gradient, and still the `update` of the tensor before: none for the first, the embedding of tokens; another
        matrix of a block for all that come later. Of those the largest is taken, so that the result is an upper
        bound by at most the difference of two matrices of a block.
        """
        held = [tensor for tensor in tensors for _ in range(min(tensor.count, 2))]
        largest = 0
        for position, tensor in enumerate(held):
            own = FLOAT32 * tensor.elements
            widest = own * (2 if tensor.dtype == "float32" else 4)
            if tensor.embedding:
                before = held[:position]
            else:
                before = [other for at, other in enumerate(held) if at != position and not other.embedding]
            largest = max(largest, widest + FLOAT32 * max((other.elements for other in before), default=0))
        return largest

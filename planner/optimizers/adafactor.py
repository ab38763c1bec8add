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
        gradient, and still the `update` of the tensor before. Which one comes before depends on the
        order in the model; the largest that can is taken, so that the result is an upper bound by at most
        the difference of two tensors.
        """
        sizes: list[tuple[int, int]] = []
        for tensor in tensors:
            own = FLOAT32 * tensor.elements
            widest = own * (2 if tensor.dtype == "float32" else 4)
            sizes += [(widest, own)] * min(tensor.count, 2)
        if not sizes:
            return 0
        largest = max(sizes)
        sizes.remove(largest)
        return largest[0] + max((own for _, own in sizes), default=0)

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


PASSES = 20
"""Reads and writes of the lines of `step`: square and sum 4, two means 2, the approximation 4, update 3, its RMS 2,
clipping 2, learning rate 2, parameter 3, less what is of one vector."""


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
        gradient, and still the `update` of the tensor before. Tensors come in the order of the model. Where several
        of a layer have one shape, what is before them is taken to be the largest that can be: an upper bound by at
        most the difference of two matrices of a layer.
        """
        listed = list(tensors)
        repeated = [tensor for tensor in listed if tensor.count > 1 and not tensor.embedding]
        layers = min((tensor.count for tensor in repeated), default=0)
        largest = 0
        for position, tensor in enumerate(listed):
            own = FLOAT32 * tensor.elements
            widest = own * (2 if tensor.dtype == "float32" else 4)
            if tensor.embedding:
                before = listed[:position]
            elif tensor.count == layers:
                before = [repeated[repeated.index(tensor) - 1]]
            else:
                others = [other for at, other in enumerate(listed) if at != position and not other.embedding]
                before = [*others, tensor] if tensor.count > 1 else others
            largest = max(largest, widest + FLOAT32 * max((other.elements for other in before), default=0))
        return largest

    def step_traffic(self, tensors: Iterable[Trained]) -> int:
        """`PASSES` over each tensor in float32."""
        return PASSES * FLOAT32 * sum(tensor.count * tensor.elements for tensor in tensors)

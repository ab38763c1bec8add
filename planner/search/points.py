"""Micro-batches as arrays."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Points:
    """Micro-batches: how many sequences, and of how many tokens, virtual ones included."""

    batches: Array
    sequences: Array

    def terms(self) -> Array:
        """1, B, S, B*S and B*S*S of each, as `Size` has them: 5 x points."""
        tokens = self.batches * self.sequences
        return np.stack([np.ones_like(tokens), self.batches, self.sequences, tokens, tokens * self.sequences])

    def pairs(self) -> list[tuple[int, int]]:
        """Each as whole numbers."""
        return list(zip(self.batches.astype(int).tolist(), self.sequences.astype(int).tolist(), strict=True))

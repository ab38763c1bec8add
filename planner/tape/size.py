"""Sizes that are not yet numbers: polynomials in the micro-batch and the sequence length.

Every tensor of a training step has a size that is a sum of five terms, for a micro-batch of B
sequences of S tokens: a constant, B, S, B*S and B*S*S. Keeping the five coefficients instead of a
number means that one walk through a model serves every batch and sequence length, and that the
largest batch that fits can be solved for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Size(NamedTuple):
    """Coefficients of 1, B, S, B*S and B*S*S; of elements, rows or bytes, as the user of it says."""

    constant: float = 0
    batch: float = 0
    sequence: float = 0
    tokens: float = 0
    scores: float = 0

    def times(self, factor: float) -> Size:
        """This size `factor` times."""
        return Size(
            self.constant * factor,
            self.batch * factor,
            self.sequence * factor,
            self.tokens * factor,
            self.scores * factor,
        )

    def plus(self, other: Size) -> Size:
        """The sum of two sizes."""
        return Size(
            self.constant + other.constant,
            self.batch + other.batch,
            self.sequence + other.sequence,
            self.tokens + other.tokens,
            self.scores + other.scores,
        )

    def at(self, batch: int, sequence: int) -> float:
        """The number, for B = `batch` sequences of S = `sequence` tokens."""
        tokens = batch * sequence
        return (
            self.constant
            + self.batch * batch
            + self.sequence * sequence
            + self.tokens * tokens
            + self.scores * tokens * sequence
        )

    def dominates(self, other: Size) -> bool:
        """Whether this size is at least `other` for every B and S."""
        return (
            self.constant >= other.constant
            and self.batch >= other.batch
            and self.sequence >= other.sequence
            and self.tokens >= other.tokens
            and self.scores >= other.scores
        )


ZERO = Size()
ONE = Size(constant=1)
BATCH = Size(batch=1)
SEQUENCE = Size(sequence=1)
TOKENS = Size(tokens=1)
SCORES = Size(scores=1)
"""Rows of an attention matrix of one head: every token against every token of its sequence."""


def total(sizes: Iterable[Size]) -> Size:
    """The sum of sizes."""
    constant = batch = sequence = tokens = scores = 0.0
    for size in sizes:
        constant += size[0]
        batch += size[1]
        sequence += size[2]
        tokens += size[3]
        scores += size[4]
    return Size(constant, batch, sequence, tokens, scores)

"""`LengthProfile`: how many tokens the examples of a dataset have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Histogram = Sequence[tuple[int, int]]
"""(tokens of an example, how many examples have them), shortest first."""

EXACT = 65_536
"""Lengths up to here are kept as they are, so that a profile has at most some 100,000 of them whatever the file."""

STEPS = 4096
"""Longer ones are rounded up, to one of so many values between a power of two and the next: 0.025 % at most."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows of a data file that are no examples, for one reason."""

    reason: str
    """Such as `not JSON`."""

    rows: int

    first: tuple[int, ...]
    """The numbers of the first few, from 1: lines of a text file, rows of a JSON list or a Parquet file."""


@dataclass(frozen=True, slots=True)
class Truncation:
    """What is cut off when examples may have no more than some number of tokens."""

    examples: int
    """That are longer."""

    tokens: int
    """That are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthProfile:
    """The lengths of all examples of a data file, in tokens, and how they were counted."""

    source: str
    """The path of the file."""

    histogram: tuple[tuple[int, int], ...]
    """(tokens, examples), shortest first; rounded up by at most 0.025 % above `EXACT` tokens."""

    tokens: int
    """Of all examples, exactly."""

    longest: int
    """Tokens of the longest example, exactly."""

    layouts: tuple[tuple[str, int], ...]
    """What was taken for the text of an example, such as `messages`, and of how many examples."""

    counted: str
    """How characters became tokens: by which tokenizer, or by how many characters to a token."""

    assumptions: tuple[str, ...]
    """What was assumed and not read from the file, a sentence each."""

    skipped: tuple[Skipped, ...]

    unit: str
    """What the numbers of skipped rows count: `line` or `row`."""

    @property
    def examples(self) -> int:
        """How many examples there are, without skipped rows."""
        return sum(count for _, count in self.histogram)

    @property
    def mean(self) -> float:
        """Tokens of an example."""
        return self.tokens / self.examples

    @property
    def rows_skipped(self) -> int:
        """Rows that are no examples."""
        return sum(skipped.rows for skipped in self.skipped)

    def percentile(self, percent: float) -> int:
        """The fewest tokens that at least `percent` of 100 examples do not exceed."""
        wanted, seen = percent / 100 * self.examples, 0
        for length, count in self.histogram:
            seen += count
            if seen >= wanted:
                return min(length, self.longest)
        return self.longest

    def truncation(self, sequence_length: int) -> Truncation:
        """What examples lose when they are cut to `sequence_length` tokens."""
        over = [(length, count) for length, count in self.histogram if length > sequence_length]
        examples = sum(count for _, count in over)
        if not over:
            return Truncation(0, 0)
        kept = sum(length * count for length, count in self.histogram if length <= sequence_length)
        return Truncation(examples, max(0, self.tokens - kept - examples * sequence_length))

    def longest_batch(self, sequence_length: int) -> int:
        """Tokens of the longest sequence of any batch, which decides the peak of memory."""
        return min(self.longest, sequence_length)


def rounded(length: int) -> int:
    """The length that the histogram counts an example of `length` tokens under."""
    if length <= EXACT:
        return length
    step = 1 << (length.bit_length() - STEPS.bit_length())
    return -(-length // step) * step


def truncated(histogram: Histogram, sequence_length: int) -> list[tuple[int, int]]:
    """The histogram of examples that are cut to `sequence_length` tokens."""
    kept = [(length, count) for length, count in histogram if length < sequence_length]
    over = sum(count for length, count in histogram if length >= sequence_length)
    return [*kept, (sequence_length, over)] if over else kept

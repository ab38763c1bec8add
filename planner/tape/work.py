"""What a program computes, beside what it allocates: its matrix products, and the bytes that its other kernels write.

Every buffer is written by one kernel, so that a tape that knows the buffers knows most of the work; of products it has
to be told the inner dimension.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from planner.tape.size import ZERO, Size, total

MATRIX = "matrix"
ATTENTION = "attention"


class Product(NamedTuple):
    """One matrix product, or the pair of them that an attention kernel does in one."""

    kind: str
    """`matrix` or `attention`."""
    flops: Size
    """Two for each multiplication and addition."""
    moved: Size
    """Bytes read and written at least: both operands and the result."""
    dtype: str
    """Of the operands."""
    window: int | None = None
    """The sliding window of attention, which bounds what `flops` says of a sequence longer than it."""


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one pass."""

    products: tuple[tuple[Product, int], ...] = ()
    """The different products, each with how often."""
    written: tuple[tuple[Size, int], ...] = ()
    """Bytes of the buffers that kernels other than products write, each with how many there are of it."""
    dequantized: Size = ZERO
    """Bytes of weights that are expanded from what they are stored in; not in `written`."""
    kernels: int = 0
    """How many kernels start: one for each buffer."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """The work of a part of the model in one micro-batch."""

    forward: Work
    recompute: Work
    """The second forward pass of a checkpointed block."""
    backward: Work


NO_WORK = StepWork(Work(), Work(), Work())


def together(works: Iterable[tuple[Work, int]]) -> Work:
    """Several pieces of work, each so many times, as one."""
    products: dict[Product, int] = {}
    written: dict[Size, int] = {}
    dequantized: list[Size] = []
    kernels = 0
    for work, times in works:
        for product, count in work.products:
            products[product] = products.get(product, 0) + count * times
        for size, count in work.written:
            written[size] = written.get(size, 0) + count * times
        dequantized.append(work.dequantized.times(times))
        kernels += work.kernels * times
    return Work(tuple(products.items()), tuple(written.items()), total(dequantized), kernels)


class Meter:
    """Counts the work of a tape."""

    def __init__(self) -> None:
        self._entries: list[tuple[Size, bool] | tuple[Product, bool]] = []
        """Buffers written, each with whether it is an expanded weight, and products, each with whether it is what
        filled the buffer before it."""

    @property
    def place(self) -> int:
        """How many entries there are since the last reading."""
        return len(self._entries)

    def wrote(self, size: Size, *, dequantized: bool = False) -> None:
        """A kernel fills a new buffer of `size` bytes."""
        self._entries.append((size, dequantized))

    def product(self, product: Product, *, filled: bool = True) -> None:
        """A product; filled: it is the kernel that filled the buffer made last."""
        self._entries.append((product, filled))

    def read(self, place: int | None = None) -> Work:
        """The work since the last reading, as far as `place`; what is beyond it is forgotten."""
        products: dict[Product, int] = {}
        written: dict[Size, int] = {}
        dequantized: list[Size] = []
        kernels, last = 0, ZERO
        for entry, flag in self._entries[:place]:
            if isinstance(entry, Product):
                products[entry] = products.get(entry, 0) + 1
                if flag:
                    written[last] -= 1
                else:
                    kernels += 1
                continue
            last = entry
            kernels += 1
            if flag:
                dequantized.append(entry)
            else:
                written[entry] = written.get(entry, 0) + 1
        self._entries = []
        return Work(
            products=tuple(products.items()),
            written=tuple((size, count) for size, count in written.items() if count),
            dequantized=total(dequantized),
            kernels=kernels,
        )

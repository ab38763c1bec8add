"""The stream that a trace makes and the allocator reads: allocations and frees, in order."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One allocation, or the free of one."""

    block: int
    """Names an allocation; its free carries the same number, and no later allocation does."""
    size: int
    """Bytes asked for, above 0; or 0, for a free."""
    stream: int = 0
    """The stream it is made on: the allocator keeps blocks of different streams apart."""

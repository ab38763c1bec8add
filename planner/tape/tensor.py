"""Tensors without data: a shape, a dtype, a buffer that may be shared, and a place in the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.tape.size import Size
from planner.units import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.tape.tape import Node, Tape


class Storage:
    """One buffer on the device. It reports its own birth and death to the tape.

    Tensors that view the same memory share one `Storage`; when Python drops the last of them the
    buffer is free, exactly when PyTorch's caching allocator would get it back.
    """

    __slots__ = ("index", "tape")

    def __init__(self, tape: Tape, size: Size, label: str) -> None:
        self.tape = tape
        self.index = tape.allocated(size, label)

    def __del__(self) -> None:
        if hasattr(self, "index"):  # or Ctrl-C came while it was made
            self.tape.freed(self.index)


class Tensor:
    """A tensor of `rows` x `cols` elements of `dtype`.

    `rows` is a `Size` (tokens, say) and `cols` a number (the width): enough to know the bytes. A
    tensor without `storage` is not counted by the tape: parameters are (they live all along and are
    counted elsewhere).
    """

    __slots__ = ("__weakref__", "cols", "dtype", "node", "output", "requires_grad", "rows", "storage", "tape")

    def __init__(
        self,
        tape: Tape,
        rows: Size,
        cols: int,
        dtype: str,
        *,
        storage: Storage | None = None,
        requires_grad: bool = False,
        node: Node | None = None,
        output: int = 0,
    ) -> None:
        self.tape = tape
        self.rows = rows
        self.cols = cols
        self.dtype = dtype
        self.storage = storage
        self.requires_grad = requires_grad
        self.node = node
        self.output = output

    @property
    def size(self) -> Size:
        """Bytes."""
        return self.rows.times(self.cols * DTYPE_BYTES[self.dtype])

    def view(self, rows: Size, cols: int) -> Tensor:
        """The same memory under another shape; autograd passes through it for nothing."""
        return Tensor(
            self.tape,
            rows,
            cols,
            self.dtype,
            storage=self.storage,
            requires_grad=self.requires_grad,
            node=self.node,
            output=self.output,
        )

    def detach(self) -> Tensor:
        """The same memory, outside the graph."""
        return Tensor(self.tape, self.rows, self.cols, self.dtype, storage=self.storage)

    def __repr__(self) -> str:
        return f"Tensor({self.rows} x {self.cols}, {self.dtype})"

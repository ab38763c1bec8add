"""Symbolic autograd: what a program of tensor operations would allocate, without any tensor.

A model family writes its block as the same sequence of operations that its PyTorch module runs
(`planner/architecture/families`). Run on a `Tape`, the operations allocate nothing; they note
which buffers they would allocate, which of them autograd would save for the backward pass, and when
each would be freed. Python's own reference counts decide the latter, as they do in PyTorch: a
buffer dies with the last tensor that names it.
"""

from planner.tape.size import BATCH, ONE, SCORES, SEQUENCE, TOKENS, ZERO, Size
from planner.tape.tape import Tape
from planner.tape.tensor import Storage, Tensor

__all__ = ["BATCH", "ONE", "SCORES", "SEQUENCE", "TOKENS", "ZERO", "Size", "Storage", "Tape", "Tensor"]

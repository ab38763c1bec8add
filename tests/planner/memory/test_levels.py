"""Levels: what the allocator reserves beyond live tensors."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue import find_gpu
from planner.memory.levels import cublas_workspaces, reserved, reserved_interval
from planner.units import MIB

BYTES = st.integers(0, 2**40)


@given(BYTES, BYTES)
def test_reserved_is_at_least_allocated_and_within_its_interval(a: int, b: int) -> None:
    persistent, allocated = sorted((a, b))
    low, high = reserved_interval(allocated, persistent)
    assert allocated <= reserved(allocated, persistent) <= high
    assert low <= reserved(allocated, persistent)


def test_cublas_workspaces_of_hopper_and_before() -> None:
    """`:4096:2:16:8` is 2 x 4096 KiB + 8 x 16 KiB; Hopper's default is 32 MiB; two threads have one each."""
    assert cublas_workspaces(find_gpu("a100-80").gpu) == 2 * (8192 + 128) * 1024
    assert cublas_workspaces(find_gpu("h100").gpu) == 2 * 32 * MIB

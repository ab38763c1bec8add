"""Sizes of blocks and segments, each by hand."""

from __future__ import annotations

import pytest

from planner.units import GIB, MIB
from profiler.simulate.allocator.rounding import next_division, round_size, segment_size

NONE = (0,) * 16


@pytest.mark.parametrize(("requested", "block"), [(1, 512), (512, 512), (513, 1024), (3 * MIB + 1, 3 * MIB + 512)])
def test_blocks_are_multiples_of_512_bytes(requested: int, block: int):
    assert round_size(requested, NONE) == block


def test_the_example_of_pytorchs_documentation():
    # 1200 between 1024 and 2048 in 4 steps: 1024, 1280, 1536, 1792
    assert next_division(1200, 4) == 1280
    assert next_division(1024, 4) == 1024


def test_four_divisions_round_five_and_a_bit_mib_to_six():
    # steps of 1 MiB between 4 and 8 MiB
    assert round_size(5 * MIB + 1, (4,) * 16) == 6 * MIB
    assert round_size(6 * MIB, (4,) * 16) == 6 * MIB


def test_requests_of_at_most_512_bytes_a_division_are_not_rounded_further():
    # 8 divisions of 2048..4096 would be steps of 256 bytes
    assert round_size(4096, (8,) * 16) == 4096
    assert round_size(3000, (8,) * 16) == 3072


def test_each_power_of_two_has_its_own_divisions():
    divisions = (1, 2, 4, *(0,) * 12, 1 << 3)
    assert round_size(MIB // 2 + 1, divisions) == MIB // 2 + 512  # below 1 MiB: the first entry
    assert round_size(2 * MIB + 1, divisions) == 3 * MIB  # [2, 4) MiB in 2 steps
    assert round_size(4 * MIB + 1, divisions) == 5 * MIB  # [4, 8) MiB in 4 steps
    assert round_size(8 * MIB + 1, divisions) == 8 * MIB + 512
    assert round_size(64 * GIB + 1, divisions) == 72 * GIB  # above 64 GiB: the last entry


@pytest.mark.parametrize(
    ("block", "segment"),
    [
        (512, 2 * MIB),
        (1 * MIB, 2 * MIB),
        (1 * MIB + 512, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 512, 12 * MIB),
        (101 * MIB, 102 * MIB),
    ],
)
def test_segments(block: int, segment: int):
    assert segment_size(block, large_segment=20 * MIB) == segment

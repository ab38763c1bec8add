"""What happens when the card is full, each by hand."""

from __future__ import annotations

import pytest

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, replay
from tests.profiler.simulate.allocator.streams import alloc, free, mib, segments


def test_cached_segments_are_released_before_a_request_fails():
    result = replay([alloc(0, 20), free(0), alloc(1, 30)], capacity=40 * MIB)
    assert segments(result) == [(0, "segment_alloc", 20), (2, "segment_free", 20), (2, "segment_alloc", 30)]
    assert result.retries == 1
    assert result.out_of_memory is None
    assert mib(result.reserved_peak) == 30


def test_out_of_memory_says_what_torch_says():
    # 15 MiB take a segment of 16, and the 1 MiB that is left with it
    result = replay([alloc(0, 20), alloc(1, 15), alloc(2, 11), free(0)], capacity=40 * MIB)
    failure = result.out_of_memory
    assert failure is not None
    assert (failure.event, failure.block) == (2, 2)
    assert (mib(failure.requested), mib(failure.segment)) == (11, 12)
    assert (mib(failure.allocated), mib(failure.reserved), failure.cached) == (36, 36, 0)
    assert result.retries == 1
    assert len(result.allocated) == len(result.reserved) == 2


def test_segments_in_use_cannot_be_released():
    # 10 of 20 MiB are live, in the middle: 5 + 5 MiB are free, and of no use to 8 MiB
    events = [alloc(0, 5), alloc(1, 9.5), alloc(2, 5.5), free(0), free(2), alloc(3, 8)]
    result = replay(events, capacity=24 * MIB)
    assert segments(result) == [(0, "segment_alloc", 20)]
    assert result.out_of_memory is not None
    assert mib(result.out_of_memory.cached) == 10.5


def test_blocks_above_max_split_size_serve_only_requests_of_their_order():
    settings = AllocatorSettings(max_split_size_mb=30)
    cached = [alloc(0, 40), free(0)]
    assert segments(replay([*cached, alloc(1, 12)], settings))[1:] == [(2, "segment_alloc", 12)]
    whole = replay([*cached, alloc(1, 35)], settings)
    assert segments(whole)[1:] == []
    assert mib(whole.allocated[2]) == 40  # not split, though 5 MiB are left
    # 56 is not less than 36 + 20, and 30 not less than 30
    too_large = [alloc(0, 56), free(0), alloc(1, 36)]
    assert segments(replay(too_large, settings))[1:] == [(2, "segment_alloc", 36)]
    loose = AllocatorSettings(max_split_size_mb=30, max_non_split_rounding_mb=21)
    assert segments(replay(too_large, loose))[1:] == []
    assert segments(replay([alloc(0, 30), free(0), alloc(1, 12)], settings))[1:] == [(2, "segment_alloc", 12)]


def test_with_max_split_size_the_largest_are_released_first_and_no_more_than_needed():
    settings = AllocatorSettings(max_split_size_mb=20)
    cached = [alloc(0, 30), alloc(1, 34), alloc(2, 40), free(0), free(1), free(2)]
    result = replay([*cached, alloc(3, 50)], settings, capacity=110 * MIB)
    assert segments(result)[3:] == [(6, "segment_free", 40), (6, "segment_free", 34), (6, "segment_alloc", 50)]
    assert result.retries == 0


def test_with_max_split_size_one_segment_is_released_where_it_is_enough():
    settings = AllocatorSettings(max_split_size_mb=20)
    cached = [alloc(0, 30), alloc(1, 80), free(0), free(1)]
    # 80 MiB are too many for 50 (50 + 20 < 80), but enough to release
    result = replay([*cached, alloc(2, 50)], settings, capacity=110 * MIB)
    assert segments(result)[2:] == [(4, "segment_free", 80), (4, "segment_alloc", 50)]
    assert result.retries == 0


GARBAGE = [alloc(0, 20), free(0), alloc(1, 40), free(1), alloc(2, 45)]


def test_garbage_collection_frees_what_is_older_than_the_average():
    # Allowed 100 MiB, from 50 on old segments go. At the third request 20 + 40 MiB are cached, of ages
    # 2 and 1 searches: 20 MiB are older than 1.5, and enough
    settings = AllocatorSettings(garbage_collection_threshold=0.5, per_process_memory_fraction=0.5)
    result = replay(GARBAGE, settings, total_memory=200 * MIB)
    assert segments(result)[2:] == [(4, "segment_free", 20), (4, "segment_alloc", 46)]
    assert result.retries == 0


def test_a_single_old_segment_is_as_old_as_the_average():
    settings = AllocatorSettings(garbage_collection_threshold=0.5, per_process_memory_fraction=0.5)
    result = replay([alloc(0, 60), free(0), alloc(1, 62)], settings, total_memory=200 * MIB)
    assert segments(result)[1:] == [(2, "segment_free", 60), (2, "segment_alloc", 62)]
    assert result.retries == 0


def test_garbage_collection_needs_a_memory_fraction():
    result = replay(GARBAGE, AllocatorSettings(garbage_collection_threshold=0.5), total_memory=200 * MIB)
    assert segments(result)[2:] == [(4, "segment_alloc", 46)]


def test_a_memory_fraction_is_a_limit():
    settings = AllocatorSettings(per_process_memory_fraction=0.5)
    result = replay([alloc(0, 60), alloc(1, 60)], settings, total_memory=200 * MIB)
    assert result.out_of_memory is not None
    assert result.out_of_memory.event == 1
    assert mib(result.reserved_peak) == 60
    with pytest.raises(InputError, match="give total_memory"):
        replay([], settings)

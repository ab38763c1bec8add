"""Expandable segments, each rule by hand: mapped by 20 MiB, or 2 for small requests."""

from __future__ import annotations

from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, Segment, SegmentBlock, replay
from tests.profiler.simulate.allocator.streams import alloc, free, mib, segments

EXPANDABLE = AllocatorSettings(expandable_segments=True)


def test_one_segment_grows_by_what_is_missing():
    # 16 of 20; then 16 of 4 + 20; then 16 of 8 + 20; then 16 of 12 + 20; then 16 fit
    result = replay([alloc(number, 16) for number in range(5)], EXPANDABLE)
    assert segments(result) == [(number, "segment_map", 20) for number in range(4)]
    assert list(result.addresses) == [result.addresses[0] + number * 16 * MIB for number in range(5)]
    assert len(result.segments) == 1


def test_small_requests_have_a_segment_of_their_own():
    result = replay([alloc(0, 16), alloc(1, 0.5), alloc(2, 1), alloc(3, 1)], EXPANDABLE)
    assert segments(result) == [(0, "segment_map", 20), (1, "segment_map", 2), (3, "segment_map", 2)]
    assert [segment.small for segment in sorted(result.segments, key=lambda s: s.size)] == [True, False]


def test_every_stream_has_its_own():
    result = replay([alloc(0, 16, stream=0), alloc(1, 2, stream=5)], EXPANDABLE)
    assert [(event.size // MIB, event.stream) for event in result.segment_events] == [(20, 0), (20, 5)]


def test_large_blocks_are_split_to_the_last_512_bytes():
    result = replay([alloc(0, 19.5), alloc(1, 1.25)], EXPANDABLE)
    assert mib(result.allocated[0]) == 19.5
    assert mib(result.reserved[1]) == 40  # the 0.5 MiB and 20 more


def test_a_hole_is_used_before_the_end_of_the_segment():
    # The hole has 20 MiB and the end 18 of 40, which could grow without limit
    events = [alloc(0, 20), alloc(1, 20), alloc(2, 22), free(0), alloc(3, 15)]
    result = replay(events, EXPANDABLE)
    assert result.addresses[4] == result.addresses[0]


def test_of_equal_holes_the_lower_is_used():
    events = [*(alloc(number, 20) for number in range(4)), free(2), free(0), alloc(4, 20)]
    result = replay(events, EXPANDABLE)
    assert result.addresses[6] == result.addresses[0]


def test_granules_that_a_live_block_reaches_into_stay():
    # [20, 50) of 60 MiB are free: [20, 40) is unmapped, [40, 50) not
    result = replay([alloc(0, 20), alloc(1, 30), alloc(2, 10), free(1)], EXPANDABLE, empty_cache_before=[4])
    assert segments(result)[-1] == (4, "segment_unmap", 20)
    assert [segment.size // MIB for segment in result.segments] == [20, 20]


THREE = [alloc(0, 30), alloc(1, 30), alloc(2, 30), free(1)]
"""Mapped: 40, 20 and 40 MiB; live: [0, 30) and [60, 90) MiB."""


def test_releasing_unmaps_whole_granules():
    result = replay(THREE, EXPANDABLE, empty_cache_before=[4])
    start = result.addresses[0]
    assert segments(result) == [
        (0, "segment_map", 40),
        (1, "segment_map", 20),
        (2, "segment_map", 40),
        (4, "segment_unmap", 20),  # of [30, 60): [40, 60)
    ]
    assert result.segment_events[-1].address == start + 40 * MIB
    assert [(segment.address - start) // MIB for segment in result.segments] == [0, 60]
    assert [segment.size // MIB for segment in result.segments] == [40, 40]


def test_what_was_unmapped_is_mapped_again_for_a_request_that_does_not_fit():
    # 50 MiB need 40 more behind the last 10: 140. Without [40, 60) it is 120.
    result = replay([*THREE, alloc(3, 50)], EXPANDABLE, capacity=120 * MIB)
    assert segments(result)[3:] == [(4, "segment_unmap", 20), (4, "segment_map", 40)]
    assert (result.retries, mib(result.reserved_peak)) == (1, 120)
    failed = replay([*THREE, alloc(3, 50)], EXPANDABLE, capacity=119 * MIB)
    assert failed.out_of_memory is not None
    assert (mib(failed.out_of_memory.reserved), mib(failed.out_of_memory.cached)) == (80, 20)


def test_the_lowest_gap_is_mapped_first():
    # After the release [30, 40) is free and [40, 60) unmapped: together the 30 MiB for block 3
    result = replay([*THREE, alloc(3, 30)], EXPANDABLE, empty_cache_before=[4])
    assert result.addresses[4] == result.addresses[1]
    assert segments(result)[-1] == (4, "segment_map", 20)


def test_a_state_with_a_gap_goes_on_where_it_was():
    left = replay(THREE, EXPANDABLE, empty_cache_before=[4])
    result = replay([alloc(3, 30), free(0), free(2), free(3)], EXPANDABLE, initial=left.segments)
    assert result.addresses[0] == left.addresses[1]
    assert [mib(size) for size in result.reserved] == [100, 100, 100, 100]
    (only,) = result.segments
    assert only.blocks == (SegmentBlock(100 * MIB),)


def test_segments_from_before_the_setting_still_serve():
    plain = Segment(0, 30 * MIB, 0, small=False, expandable=False, blocks=(SegmentBlock(30 * MIB),))
    result = replay([alloc(0, 25)], EXPANDABLE, initial=[plain])
    assert result.segment_events == ()
    assert mib(result.allocated[0]) == 25


def test_expandable_blocks_do_not_serve_once_the_setting_is_off():
    expandable = Segment(0, 40 * MIB, 0, small=False, expandable=True, blocks=(SegmentBlock(40 * MIB),))
    result = replay([alloc(0, 25)], initial=[expandable])
    assert segments(result) == [(0, "segment_alloc", 26)]


def test_segments_lie_where_they_were_observed():
    observed = [(100 * MIB, 20 * MIB), (120 * MIB, 20 * MIB), (9000 * MIB, 20 * MIB)]
    result = replay([alloc(0, 16), alloc(1, 16), alloc(2, 16, stream=1)], EXPANDABLE, addresses=observed)
    assert [address // MIB for address in result.addresses] == [100, 116, 9000]

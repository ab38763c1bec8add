"""Which block serves a request: each rule of the allocator by a stream that shows it."""

from __future__ import annotations

import pytest

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, Segment, SegmentBlock, replay
from tests.profiler.simulate.allocator.streams import alloc, free, mib, segments


def test_small_requests_share_segments_of_2_mib():
    result = replay([alloc(0, 0.5), alloc(1, 0.5), alloc(2, 1), alloc(3, 0.001)])
    assert segments(result) == [(0, "segment_alloc", 2), (3, "segment_alloc", 2)]
    assert list(result.allocated) == [MIB // 2, MIB, 2 * MIB, 2 * MIB + 1536]  # 0.001 MiB = 1048 B -> 1536
    assert result.reserved_peak == 4 * MIB


def test_requests_up_to_10_mib_share_segments_of_20_mib():
    result = replay([alloc(0, 5), alloc(1, 9), alloc(2, 6), alloc(3, 1.5)])
    assert segments(result) == [(0, "segment_alloc", 20), (3, "segment_alloc", 20)]


def test_larger_requests_get_a_segment_of_their_own():
    result = replay([alloc(0, 10), alloc(1, 12.5), alloc(2, 100)])
    assert segments(result) == [(0, "segment_alloc", 10), (1, "segment_alloc", 14), (2, "segment_alloc", 100)]


def test_what_is_left_of_a_large_block_is_split_off_only_above_1_mib():
    cached = [alloc(0, 20), free(0)]
    assert mib(replay([*cached, alloc(1, 19)]).allocated[2]) == 20
    assert mib(replay([*cached, alloc(1, 18.5)]).allocated[2]) == 18.5


def test_the_last_mib_of_a_segment_goes_with_its_last_block():
    # 20 - 9.5 - 9.5 = 1 MiB is not more than 1 MiB: the second block keeps it
    result = replay([alloc(0, 9.5), alloc(1, 9.5), free(0)])
    assert [mib(size) for size in result.allocated] == [9.5, 20, 10.5]


def test_the_smallest_block_that_fits_is_taken():
    result = replay([alloc(0, 40), alloc(1, 30), free(0), free(1), alloc(2, 25)])
    assert result.addresses[4] == result.addresses[1]
    assert mib(result.reserved[4]) == 70


def test_of_equal_blocks_the_one_at_the_lower_address_is_taken():
    events = [alloc(0, 30), alloc(1, 30), free(0), free(1), alloc(2, 30)]
    below = replay(events, addresses=[(1000 * MIB, 30 * MIB), (2000 * MIB, 30 * MIB)])
    above = replay(events, addresses=[(2000 * MIB, 30 * MIB), (1000 * MIB, 30 * MIB)])
    assert below.addresses[4] == below.addresses[0] == 1000 * MIB
    assert above.addresses[4] == above.addresses[1] == 1000 * MIB


def test_an_observed_address_that_is_taken_is_not_used():
    result = replay([alloc(0, 30), alloc(1, 30)], addresses=[(0, 30 * MIB), (10 * MIB, 30 * MIB)])
    first, second = result.segments
    assert first.address + first.size <= second.address


def test_freed_neighbours_become_one_block():
    events = [alloc(0, 5), alloc(1, 5), alloc(2, 10), free(0), free(2), free(1), alloc(3, 20)]
    result = replay(events)
    assert segments(result) == [(0, "segment_alloc", 20)]
    assert [mib(size) for size in result.allocated] == [5, 10, 20, 15, 5, 0, 20]


def test_blocks_of_one_stream_do_not_serve_another():
    result = replay([alloc(0, 30, stream=0), free(0), alloc(1, 30, stream=7), alloc(2, 30, stream=0)])
    assert segments(result) == [(0, "segment_alloc", 30), (2, "segment_alloc", 30)]
    assert [event.stream for event in result.segment_events] == [0, 7]


def test_a_large_block_does_not_serve_a_small_request():
    result = replay([alloc(0, 30), free(0), alloc(1, 0.5)])
    assert segments(result) == [(0, "segment_alloc", 30), (2, "segment_alloc", 2)]


def test_peaks_outlive_what_made_them():
    result = replay([alloc(0, 30), free(0), alloc(1, 12)], empty_cache_before=[2])
    assert segments(result) == [(0, "segment_alloc", 30), (2, "segment_free", 30), (2, "segment_alloc", 12)]
    assert (mib(result.allocated_peak), mib(result.reserved_peak)) == (30, 30)
    assert mib(result.reserved[2]) == 12


def test_emptying_the_cache_keeps_segments_in_use():
    result = replay([alloc(0, 5), alloc(1, 5), free(0)], empty_cache_before=[3])
    assert segments(result) == [(0, "segment_alloc", 20)]


def test_a_replay_can_go_on_from_a_state():
    before = Segment(
        address=64 * MIB,
        size=20 * MIB,
        stream=0,
        small=False,
        expandable=False,
        blocks=(SegmentBlock(8 * MIB, 0, 8 * MIB), SegmentBlock(12 * MIB)),
    )
    result = replay([alloc(1, 12), free(0), alloc(2, 7)], initial=[before])
    assert result.segment_events == ()
    assert [mib(size) for size in result.allocated] == [20, 12, 20]  # 8 - 7 = 1 MiB stays with block 2
    assert (mib(result.allocated_peak), mib(result.reserved_peak)) == (20, 20)


def test_requests_are_rounded_as_the_settings_say():
    result = replay([alloc(0, 33)], AllocatorSettings(roundup_power2_divisions=4))
    assert mib(result.allocated[0]) == 40  # 32, 40, 48, 56


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([free(3)], "event 0 frees block 3, which is not live"),
        ([alloc(3, 1), free(3), free(3)], "event 2 frees block 3, which is not live"),
        ([alloc(3, 1), alloc(3, 1)], "event 1 allocates block 3, which is live already"),
    ],
)
def test_streams_that_cannot_be(events: list, said: str):
    with pytest.raises(InputError, match=said):
        replay(events)


def test_a_state_that_cannot_be():
    with pytest.raises(InputError, match="do not add up"):
        replay([], initial=[Segment(0, 20 * MIB, 0, False, False, (SegmentBlock(MIB),))])
    twice = SegmentBlock(10 * MIB, 4, 10 * MIB)
    with pytest.raises(InputError, match="block 4 is twice"):
        replay([], initial=[Segment(0, 20 * MIB, 0, False, False, (twice, twice))])

"""What holds for every stream of events."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, replay
from profiler.simulate.events import Event

SIZES = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(1, 60 * MIB))
SETTINGS = st.builds(
    AllocatorSettings,
    expandable_segments=st.booleans(),
    max_split_size_mb=st.sampled_from([None, 20, 32]),
    roundup_power2_divisions=st.sampled_from([0, 4]),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Allocations of two streams, and frees of what is live."""
    events: list[Event] = []
    live: list[int] = []
    for number, (size, stream, kind) in enumerate(
        draw(st.lists(st.tuples(SIZES, st.integers(0, 1), st.integers(0, 9)), max_size=40))
    ):
        if live and kind < 4:
            events.append(Event(live.pop(kind % len(live)), 0))
        else:
            live.append(number)
            events.append(Event(number, size, stream))
    return events


def live_at_end(events: list[Event]) -> list[int]:
    live: dict[int, None] = {}
    for event in events:
        if event.size:
            live[event.block] = None
        else:
            del live[event.block]
    return list(live)


@given(streams(), SETTINGS)
def test_reserved_holds_allocated_and_nothing_overlaps(events: list[Event], settings: AllocatorSettings):
    result = replay(events, settings)
    assert all(reserved >= allocated for reserved, allocated in zip(result.reserved, result.allocated, strict=True))
    assert result.reserved_peak == max(result.reserved, default=0)
    assert result.allocated_peak == max(result.allocated, default=0)
    ends = 0
    for segment in result.segments:
        assert segment.address >= ends
        ends = segment.address + segment.size
        assert segment.size == sum(block.size for block in segment.blocks)
    blocks = [block for segment in result.segments for block in segment.blocks]
    assert sorted(block.block for block in blocks if block.block is not None) == sorted(live_at_end(events))
    assert all(block.size >= block.requested for block in blocks)
    assert sum(segment.size for segment in result.segments) == (result.reserved[-1] if events else 0)


@given(streams(), SETTINGS)
def test_freeing_everything_leaves_nothing(events: list[Event], settings: AllocatorSettings):
    events = [*events, *(Event(block, 0) for block in live_at_end(events))]
    result = replay(events, settings, empty_cache_before=[len(events)])
    assert not events or result.allocated[-1] == 0
    assert result.segments == ()
    taken = sum(event.size for event in result.segment_events if event.action in ("segment_alloc", "segment_map"))
    assert 2 * taken == sum(event.size for event in result.segment_events)


@given(streams(), SETTINGS, st.integers(2, 200))
def test_capacity_is_never_exceeded(events: list[Event], settings: AllocatorSettings, capacity: int):
    result = replay(events, settings, capacity=capacity * MIB)
    assert result.reserved_peak <= capacity * MIB
    failure = result.out_of_memory
    if failure is not None:
        assert len(result.reserved) == failure.event
        assert result.retries >= 1


@given(streams(), SETTINGS)
def test_what_fits_exactly_fits(events: list[Event], settings: AllocatorSettings):
    free_of_limits = replay(events, settings)
    assert replay(events, settings, capacity=free_of_limits.reserved_peak) == free_of_limits


@given(streams(), SETTINGS, st.data())
def test_a_state_is_all_that_the_future_depends_on(
    events: list[Event], settings: AllocatorSettings, data: st.DataObject
):
    cut = data.draw(st.integers(0, len(events)))
    whole = replay(events, settings)
    first = replay(events[:cut], settings)
    second = replay(events[cut:], settings, initial=first.segments)
    assert first.reserved == whole.reserved[:cut]
    assert second.reserved == whole.reserved[cut:]
    assert second.allocated == whole.allocated[cut:]
    assert second.segments == whole.segments


@given(streams(), SETTINGS)
def test_a_replay_changes_nothing_but_its_result(events: list[Event], settings: AllocatorSettings):
    assert replay(events, settings) == replay(iter(events), settings)

"""PyTorch's memory snapshots: those of real GPUs, replayed, and files that cannot be used."""

from __future__ import annotations

import gzip
import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, DeviceTrace, Replay, SegmentBlock, replay
from profiler.simulate.events import Event
from profiler.simulate.snapshot import read_snapshot

SNAPSHOTS = Path(__file__).parents[3] / ".." / "shared" / "data" / "snapshots"
FILES = sorted(path.name for path in SNAPSHOTS.glob("*.json.gz"))
real = pytest.mark.skipif(not FILES, reason="the published traces of ../shared/data/snapshots are not here")
each_file = pytest.mark.parametrize("name", FILES or ["none"])


@cache
def read(name: str) -> tuple[DeviceTrace, ...]:
    return read_snapshot(SNAPSHOTS / name)


def replayed(trace: DeviceTrace, addresses: tuple[tuple[int, int], ...] = ()) -> Replay:
    return replay(
        trace.events,
        trace.settings,
        initial=trace.initial,
        empty_cache_before=trace.empty_cache_before,
        addresses=addresses,
    )


def without_addresses(events: Any) -> list[tuple[int, str, int, int]]:
    return [(event.event, event.action, event.size, event.stream) for event in events]


# -- traces of real GPUs -----------------------------------------------------------------------------


@real
def test_there_are_traces_of_every_kind():
    traces = [trace for name in FILES for trace in read(name)]
    assert sum(not trace.initial for trace in traces) >= 5
    assert sum(trace.settings.expandable_segments for trace in traces) >= 3
    assert sum(bool(trace.initial) and bool(trace.segment_events) for trace in traces) >= 4
    assert sum(bool(trace.empty_cache_before) for trace in traces) >= 2


@real
@each_file
def test_segments_are_made_and_released_as_on_the_gpu(name: str):
    """Every segment event: at which allocation, of what size, in what order; the peak and the curve with them."""
    for trace in read(name):
        result = replayed(trace)
        assert without_addresses(result.segment_events) == without_addresses(trace.segment_events)
        assert result.reserved == trace.reserved
        assert result.reserved_peak == trace.reserved_peak
        assert result.out_of_memory is None


@real
@each_file
def test_every_block_lies_where_it_lay_on_the_gpu(name: str):
    """With the addresses that cudaMalloc gave; so each was split from and merged with the same blocks."""
    for trace in read(name):
        result = replayed(trace, trace.addresses)
        assert result.addresses == trace.block_addresses
        assert result.segment_events == trace.segment_events


@real
@each_file
def test_allocated_bytes_are_those_of_the_trace_and_what_was_too_little_to_split_off(name: str):
    for trace in read(name):
        for mine, seen in zip(replayed(trace).allocated, trace.allocated, strict=True):
            assert seen <= mine <= 1.01 * seen


@real
@each_file
@pytest.mark.parametrize("begin", [0, 0.4, 0.8])
def test_the_state_in_the_middle_is_rebuilt_from_the_state_at_the_end(name: str, begin: float, tmp_path: Path):
    """Of each trace only the later part is read; it must lead to the blocks that the file ends with."""
    snapshot = json.loads(gzip.decompress((SNAPSHOTS / name).read_bytes()))
    for trace in snapshot["device_traces"]:
        del trace["events"][: int(begin * len(trace["events"]))]
    (tmp_path / "later.json").write_text(json.dumps(snapshot))
    for trace in read_snapshot(tmp_path / "later.json"):
        result = replayed(trace, trace.addresses)
        assert result.reserved == trace.reserved
        assert result.addresses == trace.block_addresses
        final = [
            (s["address"], s["total_size"], [(block[1], block[3] != "inactive") for block in s["blocks"]])
            for s in snapshot["final_segments"]
            if s["device"] == trace.device
        ]
        assert sorted(final) == [
            (s.address, s.size, [(block.size, block.block is not None) for block in s.blocks]) for s in result.segments
        ]


@real
def test_retries_and_the_failure_of_a_full_gpu():
    """Its capacity is what was reserved and free when it failed: the retry before it must follow from that alone."""
    failures = [(trace, failure) for name in FILES for trace in read(name) for failure in trace.failed]
    assert failures
    for trace, failure in failures:
        reserved = trace.reserved[failure.event - 1]
        events = [*trace.events[: failure.event], Event(10**9, failure.requested, failure.stream)]
        result = replay(events, trace.settings, capacity=reserved + failure.device_free, addresses=trace.addresses)
        assert result.segment_events == tuple(e for e in trace.segment_events if e.event <= failure.event)
        assert result.retries == len(trace.empty_cache_before) + 1
        assert result.out_of_memory is not None
        assert result.out_of_memory.event == failure.event
        assert result.out_of_memory.requested == failure.requested
        assert result.out_of_memory.reserved == reserved


# -- both forms of a file ----------------------------------------------------------------------------


def compact(**changed: Any) -> dict[str, Any]:
    """A card with 5 MiB from before the trace, freed in it; 8 MiB from before that stay; 30 MiB come."""
    base = 1 << 40
    return {
        "allocator_settings": None,
        "device_traces": [
            {
                "device": 1,
                "events": [
                    ["segment_alloc", 2 * base, 30 * MIB, 0, 0],
                    ["alloc", 2 * base, 30 * MIB, 0, 0],
                    ["free_requested", base, 5 * MIB, 0, 0],
                    ["free_completed", base, 5 * MIB, 0, 0],
                    ["oom", 7 * MIB, 99 * MIB, 0, 0],
                    ["something_new", 0, 0, 0, 0],
                    ["snapshot", 0, 38 * MIB, 0, 0],
                ],
            }
        ],
        "final_segments": [
            {
                "device": 1,
                "address": base,
                "total_size": 20 * MIB,
                "stream": 0,
                "segment_type": "large",
                "blocks": [
                    [base, 5 * MIB, 5 * MIB, "inactive"],
                    [base + 5 * MIB, 8 * MIB, 8 * MIB - 9, "active_allocated"],
                    [base + 13 * MIB, 7 * MIB, 0, "inactive"],
                ],
            },
            {
                "device": 1,
                "address": 2 * base,
                "total_size": 30 * MIB,
                "stream": 0,
                "segment_type": "large",
                "blocks": [[2 * base, 30 * MIB, 30 * MIB, "active_allocated"]],
            },
        ],
    } | changed


def as_torch_gives_it(snapshot: dict[str, Any]) -> dict[str, Any]:
    """The same as the dictionary of `torch.cuda.memory._snapshot()`: a list a device, and fields by name."""
    traces: list[list[dict[str, Any]]] = [[], []]
    for trace in snapshot["device_traces"]:
        for action, address, size, stream, _ in trace["events"]:
            key = "device_free" if action == "oom" else "addr"
            traces[trace["device"]].append({"action": action, key: address, "size": size, "stream": stream})
    segments = [
        {
            **segment,
            "is_expandable": False,
            "segment_pool_id": [0, 0],
            "blocks": [
                {"address": a, "size": size, "requested_size": requested, "state": state, "frames": []}
                for a, size, requested, state in segment["blocks"]
            ],
        }
        for segment in snapshot["final_segments"]
    ]
    settings = {
        "max_split_size": 64 * MIB,
        "garbage_collection_threshold": 0.5,
        "expandable_segments": False,
        "roundup_power2_divisions": {str(1 << n): 4 for n in range(16)},
    }
    return {"segments": segments, "device_traces": traces, "allocator_settings": settings}


def written(snapshot: Any, folder: Path) -> Path:
    path = folder / "snapshot.json"
    path.write_text(json.dumps(snapshot))
    return path


def test_the_state_before_a_trace(tmp_path: Path):
    (trace,) = read_snapshot(written(compact(), tmp_path))
    assert trace.device == 1
    assert trace.settings == AllocatorSettings()
    assert trace.events == (Event(0, 30 * MIB), Event(1, 0))
    (segment,) = trace.initial
    assert segment.blocks == (
        SegmentBlock(5 * MIB, 1, 5 * MIB),
        SegmentBlock(8 * MIB, 2, 8 * MIB - 9),
        SegmentBlock(7 * MIB),
    )
    assert [size // MIB for size in trace.allocated] == [43, 38]
    assert [size // MIB for size in trace.reserved] == [50, 50]
    assert trace.failed == ((2, 99 * MIB, 0, 7 * MIB),)
    assert replayed(trace).reserved == trace.reserved


def test_the_dictionary_of_torch_says_the_same(tmp_path: Path):
    (trace,) = read_snapshot(written(as_torch_gives_it(compact()), tmp_path))
    (same,) = read_snapshot(written(compact(), tmp_path))
    assert trace.settings == AllocatorSettings(
        max_split_size_mb=64, garbage_collection_threshold=0.5, roundup_power2_divisions=(4,) * 16
    )
    assert trace.device == same.device
    assert trace.events == same.events
    assert trace.segment_events == same.segment_events
    assert trace.failed == same.failed


def test_a_private_pool_is_kept_apart_like_a_stream(tmp_path: Path):
    snapshot = compact()
    snapshot["final_segments"][1]["segment_pool_id"] = [0, 3]
    (trace,) = read_snapshot(written(snapshot, tmp_path))
    assert trace.events[0] == Event(0, 30 * MIB, stream=-1)
    assert replayed(trace).reserved == trace.reserved


def test_room_of_up_to_1_mib_behind_a_block_belongs_to_it(tmp_path: Path):
    base = 1 << 40
    snapshot = compact()
    # 12.5 of 13 MiB were live, before 7 MiB that still are
    snapshot["device_traces"][0]["events"] = [["free_completed", base, 12 * MIB + MIB // 2, 0, 0]]
    segment = snapshot["final_segments"][0]
    segment["blocks"] = [
        [base, 13 * MIB, 0, "inactive"],
        [base + 13 * MIB, 7 * MIB, 7 * MIB, "active_allocated"],
    ]
    snapshot["final_segments"] = [segment]
    (trace,) = read_snapshot(written(snapshot, tmp_path))
    assert [block.size // MIB for block in trace.initial[0].blocks] == [13, 7]


def test_a_later_allocation_shows_where_a_block_ended(tmp_path: Path):
    base = 1 << 40
    snapshot = compact()
    # 5 MiB live and 15 free, or 5.5 and 14.5: the allocation at 5.5 tells
    snapshot["device_traces"][0]["events"] = [
        ["alloc", base + 5 * MIB + MIB // 2, 2 * MIB, 0, 0],
        ["free_completed", base + 5 * MIB + MIB // 2, 2 * MIB, 0, 0],
        ["free_completed", base, 5 * MIB, 0, 0],
    ]
    segment = snapshot["final_segments"][0]
    segment["blocks"] = [[base, 20 * MIB, 0, "inactive"]]
    snapshot["final_segments"] = [segment]
    (trace,) = read_snapshot(written(snapshot, tmp_path))
    assert [block.size / MIB for block in trace.initial[0].blocks] == [5.5, 14.5]


# -- files that cannot be used -----------------------------------------------------------------------


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_snapshot(path)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_a_missing_file(tmp_path: Path):
    assert "No such file" in refusal(tmp_path / "nowhere.json")


def test_a_pickle_is_not_loaded(tmp_path: Path):
    path = tmp_path / "memory.pickle"
    path.write_bytes(pickle.dumps(compact()))
    assert "is a pickle" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"[1, 2]", b"\x1f\x8bnot gzip"])
def test_other_files(content: bytes, tmp_path: Path):
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    refusal(path)


def test_a_file_cut_short(tmp_path: Path):
    path = tmp_path / "snapshot.json.gz"
    path.write_bytes(gzip.compress(json.dumps(compact()).encode())[:-20])
    refusal(path)


def test_huge_numbers_and_text_for_numbers(tmp_path: Path):
    for wrong in (2**70, -5, 1.5, "1", None, True):
        snapshot = compact()
        snapshot["device_traces"][0]["events"][1][2] = wrong
        assert "not a whole number" in refusal(written(snapshot, tmp_path))


@pytest.mark.parametrize(
    "changed",
    [
        {"device_traces": None},
        {"device_traces": [3]},
        {"device_traces": [{"device": "a", "events": []}]},
        {"device_traces": [{"device": 0, "events": [["alloc", 1]]}]},
        {"device_traces": [{"device": 0, "events": [{"action": 7}]}]},
        {"final_segments": {}},
        {"final_segments": ["a"]},
        {"final_segments": [{"address": 0, "total_size": 5, "stream": 0, "blocks": []}]},
        {"final_segments": [{"address": 0, "total_size": 5, "stream": 0, "blocks": [[0, 5]]}]},
        {"final_segments": []},
        {"allocator_settings": []},
        {"allocator_settings": {"roundup_power2_divisions": 4}},
        {"allocator_settings": {"roundup_power2_divisions": {"1": 3}}},
        {"allocator_settings": {"garbage_collection_threshold": "high"}},
        {"allocator_settings": {"max_split_size": MIB}},
    ],
)
def test_what_is_missing_or_of_another_kind(changed: dict[str, Any], tmp_path: Path):
    refusal(written(compact(**changed), tmp_path))


def test_a_trace_that_contradicts_itself(tmp_path: Path):
    twice = compact()
    twice["device_traces"][0]["events"].insert(2, ["alloc", 2 << 40, MIB, 0, 0])
    assert "lies on a live block" in refusal(written(twice, tmp_path))
    overlapping = compact()
    overlapping["device_traces"][0]["events"][3][2] = 6 * MIB
    assert "overlaps" in refusal(written(overlapping, tmp_path))
    elsewhere = compact()
    elsewhere["device_traces"][0]["events"][3][1] = 5
    assert "lies in none of the segments" in refusal(written(elsewhere, tmp_path))

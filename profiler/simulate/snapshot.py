"""PyTorch's memory snapshots, as JSON.

Read are the dictionary of `torch.cuda.memory._snapshot()` and the compact form of published traces:
`device_traces` with rows `[action, address, size, stream, …]` and `final_segments` with blocks
`[address, size, requested_size, state]`. Pickles are not read: loading one runs the code in it.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator.observed import DeviceTrace, observe
from profiler.simulate.allocator.rebuild import LiveBlock, Region, Row
from profiler.simulate.allocator.settings import AllocatorSettings


def read_snapshot(path: Path) -> tuple[DeviceTrace, ...]:
    """The traces of a snapshot file (.json or .json.gz), one for each card that did anything.

    Raises `InputError` for a file that cannot be read, or whose trace and segments contradict each other.
    """
    snapshot = _load(path)
    try:
        return tuple(_traces(snapshot))
    except InputError as error:
        raise InputError(f"the snapshot {path} cannot be used: {error}") from None


def _load(path: Path) -> Mapping[str, Any]:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise InputError(f"the snapshot {path} cannot be read: {reason}") from None
    if content[:1] == b"\x80":
        raise InputError(f"the snapshot {path} is a pickle, which is not loaded; save the dictionary with json.dump")
    try:
        snapshot = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError(f"the snapshot {path} is not JSON") from None
    if not isinstance(snapshot, dict):
        raise InputError(f"the snapshot {path} holds no dictionary; save what torch.cuda.memory._snapshot() returns")
    return cast("dict[str, Any]", snapshot)


def _traces(snapshot: Mapping[str, Any]) -> Iterator[DeviceTrace]:
    settings = _settings(snapshot.get("allocator_settings"))
    segments = _list(snapshot.get("final_segments", snapshot.get("segments")), "segments")
    regions: dict[int, list[Region]] = {}
    live: dict[int, list[LiveBlock]] = {}
    private: dict[int, list[Region]] = {}
    pools: dict[object, int] = {}
    for segment in segments:
        device, region, blocks, pool = _final_segment(segment)
        if pool is not None:
            # A private pool shares nothing with others, just as one more stream would
            stream = pools.setdefault((pool, region.stream), -1 - len(pools))
            region = region._replace(stream=stream)
            private.setdefault(device, []).append(region)
        regions.setdefault(device, []).append(region)
        live.setdefault(device, []).extend(blocks)
    for number, trace in enumerate(_list(snapshot.get("device_traces"), "device_traces")):
        device = number
        if isinstance(trace, dict):
            fields = cast("dict[str, Any]", trace)
            device, trace = _int(fields.get("device"), "device"), fields.get("events")
        rows = [_row(entry) for entry in _list(trace, "events of a device")]
        if rows:
            rows = _in_private_pools(rows, private.get(device, ()))
            yield observe(device, settings, rows, regions.get(device, []), live.get(device, []))


# -- the two forms of a file -------------------------------------------------------------------------


def _row(entry: Any) -> Row:
    if isinstance(entry, dict):
        fields = cast("dict[str, Any]", entry)
        address = fields.get("device_free" if fields.get("action") == "oom" else "addr", 0)
        action, size, stream = fields.get("action"), fields.get("size", 0), fields.get("stream", 0)
    else:
        values = _list(entry, "events of a device")
        if len(values) < 4:
            raise InputError("an event has fewer than 4 fields")
        action, address, size, stream = values[:4]
    if not isinstance(action, str):
        raise InputError("an event has no action")
    return Row(action, _int(address, "addr"), _int(size, "size"), _int(stream, "stream"))


def _final_segment(entry: Any) -> tuple[int, Region, list[LiveBlock], object | None]:
    """Device, segment, live blocks, and the private pool if it is of one."""
    if not isinstance(entry, dict):
        raise InputError("a segment is not a dictionary")
    fields = cast("dict[str, Any]", entry)
    region = Region(
        address=_int(fields.get("address"), "address"),
        size=_int(fields.get("total_size"), "total_size"),
        stream=_int(fields.get("stream"), "stream"),
        small=fields.get("segment_type") == "small",
        expandable=bool(fields.get("is_expandable", False)),
    )
    live: list[LiveBlock] = []
    position = region.address
    for block in _list(fields.get("blocks"), "blocks of a segment"):
        if isinstance(block, dict):
            parts = cast("dict[str, Any]", block)
            size, requested, state = parts.get("size"), parts.get("requested_size"), parts.get("state")
        else:
            values = _list(block, "blocks of a segment")
            if len(values) < 4:
                raise InputError("a block has fewer than 4 fields")
            _, size, requested, state = values[:4]
        size = _int(size, "size of a block")
        if state != "inactive":
            requested = size if requested is None else _int(requested, "requested_size")
            live.append(LiveBlock(-1, position, requested, size))
        position += size
    if position != region.end:
        raise InputError(f"the blocks of the segment at {region.address:#x} do not add up to its size")
    pool = _list(fields.get("segment_pool_id", []), "segment_pool_id")
    return _int(fields.get("device", 0), "device"), region, live, str(pool) if any(pool) else None


def _in_private_pools(rows: list[Row], private: Sequence[Region]) -> list[Row]:
    """The rows with those in segments of private pools on the streams that stand for these."""
    if not private:
        return rows
    found: list[Row] = []
    for row in rows:
        inside = (region.stream for region in private if region.address <= row.address < region.end)
        found.append(row._replace(stream=next(inside, row.stream)))
    return found


def _settings(entry: Any) -> AllocatorSettings:
    if entry is None:
        return AllocatorSettings()
    if not isinstance(entry, dict):
        raise InputError("allocator_settings is not a dictionary")
    fields = cast("dict[str, Any]", entry)
    max_split_size = _int(fields.get("max_split_size", -1), "max_split_size")
    divisions = fields.get("roundup_power2_divisions", {})
    if not isinstance(divisions, dict):
        raise InputError("roundup_power2_divisions is not a dictionary")
    parts = [_int(value, "roundup_power2_divisions") for value in cast("dict[str, Any]", divisions).values()]
    threshold = fields.get("garbage_collection_threshold", 0.0)
    if not isinstance(threshold, int | float):
        raise InputError("garbage_collection_threshold is not a number")
    return AllocatorSettings(
        expandable_segments=bool(fields.get("expandable_segments", False)),
        max_split_size_mb=max_split_size // MIB if max_split_size > 0 else None,
        garbage_collection_threshold=float(threshold),
        roundup_power2_divisions=tuple(parts) if parts else 0,
    )


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{what} is missing or not a list")
    return cast("list[Any]", value)


def _int(value: Any, what: str) -> int:
    """A whole number that a card can have; -1 is PyTorch's "no limit"."""
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < 2**63:
        raise InputError(f"{what} is {value!r} and not a whole number from 0 to 2**63")
    return value

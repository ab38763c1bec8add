"""A simulation's stream as a memory snapshot, for PyTorch's own viewer (pytorch.org/memory_viz).

The dictionary is that of `torch.cuda.memory._snapshot()`, with the keys that torch 2.13 documents there and those
that torch/csrc/cuda/memory_snapshot.cpp writes. What a GPU would have recorded and a simulation cannot know:

- `time_us` is not a time but the index of the event in the stream, so that it never goes back.
- `frames` are not Python's. Each is something known of the allocation, innermost first: its operator, its module,
  whether that ran again for a checkpoint, the window of the step, the training step (its number is the `line`).
  A free has the frames of the window that it happens in.
- `addr` is the address of the replay. They are multiples of 512 below 2**62, which JavaScript's numbers hold exactly.
- `user_metadata` and `category` are the ledger's component. Snapshots of a GPU have no `category`, but
  `torch.cuda._memory_viz.profile_plot` writes it and the viewer then colours by it instead of by allocation.

Every step of the stream is exported: as a pickle, three LoRA steps of Llama-3.1-8B are 10 MB, of the 405B 42 MB.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

from planner.errors import InputError
from planner.units import MIB
from profiler.simulate.allocator.replays import OutOfMemory, Replay
from profiler.simulate.allocator.rounding import round_size
from profiler.simulate.allocator.segments import Segment, SegmentEvent
from profiler.simulate.allocator.settings import AllocatorSettings
from profiler.simulate.stream import Stream, Stretch
from profiler.simulate.trace.trace import (
    AFTER,
    BACKWARD,
    CLIP,
    EMBED,
    EVALUATION,
    FORWARD,
    HEAD,
    LOAD,
    LOSS_BACKWARD,
    OPTIMIZER,
    ZERO_GRAD,
    Allocation,
    Window,
)
from profiler.whole_file import whole_file

SnapshotFormat = Literal["pickle", "json"]
Frames = list[dict[str, Any]]
Entry = dict[str, Any]

DEFAULT_POOL = (0, 0)
UNKNOWN = "unknown"
"""The category of segments. MemoryViz.js stops at a snapshot that has categories, but not this one."""

_PROTOCOL = 4
"""Of pickle: the newest that MemoryViz.js reads."""
_ENTRIES_AT_ONCE = 1000
_FORMATS: dict[str, SnapshotFormat] = {".pickle": "pickle", ".pkl": "pickle", ".json": "json"}
_PASSES = {
    LOAD: "loading",
    EMBED: "forward up to the layers",
    FORWARD: "forward",
    HEAD: "forward from the layers to the loss",
    LOSS_BACKWARD: "backward from the loss to the layers",
    BACKWARD: "backward",
    AFTER: "end of the pass",
    CLIP: "gradient clipping",
    OPTIMIZER: "optimizer step",
    ZERO_GRAD: "zero_grad",
}


def write_snapshot(
    path: Path,
    stream: Stream,
    layers: str,
    replayed: Replay,
    settings: AllocatorSettings,
    *,
    capacity: int | None = None,
) -> None:
    """Write the snapshot of a replayed stream: .pickle or .pkl as `torch.cuda.memory._dump_snapshot` does, or .json.

    The arguments are those of `snapshot`. The file appears whole or not at all.

    Raises `InputError` for another extension, and where the file cannot be written.
    """
    to_json = snapshot_format(path) == "json"
    content = snapshot(stream, layers, replayed, settings, capacity=capacity)
    try:
        with whole_file(path) as file:
            if to_json:
                for part in _json(content):
                    file.write(part.encode("ascii"))
            else:
                pickle.Pickler(file, _PROTOCOL).dump(content)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"the snapshot {path} cannot be written ({reason}); give a file in a folder that can be written"
        ) from None


def snapshot_format(path: Path) -> SnapshotFormat:
    """What a file of this name holds. Raises `InputError` for an extension that is neither a pickle's nor JSON's."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise InputError(
            f"the snapshot {path} ends in {path.suffix or 'no extension'}; "
            "name it .pickle, which pytorch.org/memory_viz opens, or .json"
        )
    return found


def snapshot(
    stream: Stream, layers: str, replayed: Replay, settings: AllocatorSettings, *, capacity: int | None = None
) -> dict[str, Any]:
    """The snapshot at the end of `replayed`, with the whole stream as the trace of device 0.

    layers: the name of the model's list of layers (`model.layers`). settings, capacity: those that the stream was
    replayed with, from an empty card; the capacity is needed only to say what was free when memory ran out.
    """
    recorded = _Record(layers)
    recorded.replay(stream, replayed, settings, capacity)
    return {
        "segments": [recorded.segment(segment) for segment in replayed.segments],
        "device_traces": [recorded.entries],
        "allocator_settings": _allocator_settings(settings),
        "external_annotations": [],
    }


class _Record:
    """The trace as it grows, and the frames of what is there at its end."""

    def __init__(self, layers: str) -> None:
        self.entries: list[Entry] = []
        self._layers = layers
        self._blocks: dict[int, tuple[int, Frames]] = {}
        """Live block -> its stream and frames."""
        self._segments: dict[int, Frames] = {}
        """Address -> frames of the allocation that the memory was taken for."""
        self._frames: dict[tuple[str, ...] | None, Frames] = {}
        self._frame: dict[tuple[str, str], dict[str, Any]] = {}
        self._stretch: list[dict[str, Any]] = []

    def replay(self, stream: Stream, replayed: Replay, settings: AllocatorSettings, capacity: int | None) -> None:
        played = len(replayed.addresses)
        failure = replayed.out_of_memory
        of_segments = iter(replayed.segment_events)
        pending = next(of_segments, None)
        ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
        for stretch, end in zip(stream.stretches, ends, strict=True):
            self._enter(stretch)
            for index in range(stretch.begins, min(end, played + (failure is not None))):
                block, size, on = stream.events[index]
                made = stream.made[block]
                frames = self._frames_of(made, stretch.window) if size else self._frames_of(None, stretch.window)
                while pending is not None and pending.event == index:
                    self._add_segment_event(pending, frames)
                    pending = next(of_segments, None)
                if failure is not None and index == played:
                    self._add_failure(failure, made, on, frames, settings, capacity)
                elif size:
                    self._blocks[block] = on, frames
                    self._add("alloc", replayed.addresses[index], made, on, frames, index)
                else:
                    on, _ = self._blocks.pop(block)
                    for action in ("free_requested", "free_completed"):
                        self._add(action, replayed.addresses[index], made, on, frames, index)
        while pending is not None:
            self._add_segment_event(pending, [])
            pending = next(of_segments, None)

    def segment(self, segment: Segment) -> dict[str, Any]:
        allocated = sum(part.size for part in segment.blocks if part.block is not None)
        blocks: list[dict[str, Any]] = []
        address = segment.address
        for part in segment.blocks:
            blocks.append(
                {
                    "address": address,
                    "size": part.size,
                    "requested_size": part.requested,
                    "state": "inactive" if part.block is None else "active_allocated",
                    "frames": [] if part.block is None else self._blocks[part.block][1],
                }
            )
            address += part.size
        return {
            "device": 0,
            "address": segment.address,
            "total_size": segment.size,
            "allocated_size": allocated,
            "active_size": allocated,
            "requested_size": sum(part.requested for part in segment.blocks),
            "stream": segment.stream,
            "segment_type": "small" if segment.small else "large",
            "segment_pool_id": DEFAULT_POOL,
            "is_expandable": segment.expandable,
            "frames": self._segments.get(segment.address, []),
            "blocks": blocks,
        }

    def _add(self, action: str, address: int, made: Allocation, stream: int, frames: Frames, index: int) -> None:
        entry = _entry(action, made.size, stream, frames, index, made.component)
        entry["addr"] = address
        entry["user_metadata"] = f"{made.component}, recomputed" if made.recomputed else made.component
        self.entries.append(entry)

    def _add_segment_event(self, event: SegmentEvent, frames: Frames) -> None:
        entry = _entry(event.action, event.size, event.stream, frames, event.event, UNKNOWN)
        entry["addr"] = event.address
        self.entries.append(entry)
        if event.action in ("segment_alloc", "segment_map"):
            self._segments[event.address] = frames

    def _add_failure(
        self,
        failure: OutOfMemory,
        made: Allocation,
        stream: int,
        frames: Frames,
        settings: AllocatorSettings,
        capacity: int | None,
    ) -> None:
        # as PyTorch has it: the rounded size, and the driver's free memory in place of an address
        size = round_size(failure.requested, settings.divisions)
        entry = _entry("oom", size, stream, frames, failure.event, made.component)
        entry["device_free"] = 0 if capacity is None else capacity - failure.reserved
        self.entries.append(entry)

    def _enter(self, stretch: Stretch) -> None:
        self._frames.clear()
        self._stretch = [self._named("window", _window_name(stretch.window, self._layers))]
        if stretch.step:
            self._stretch.append({"filename": "step", "line": stretch.step, "name": f"training step {stretch.step}"})

    def _frames_of(self, made: Allocation | None, window: Window) -> Frames:
        """The frames of an allocation, or of a free, in the stretch that has been entered; one list for all alike."""
        key = None if made is None else (made.operator, made.module, "again" if made.recomputed else "")
        frames = self._frames.get(key)
        if frames is None:
            frames = self._frames[key] = [*self._inner(made, window), *self._stretch]
        return frames

    def _inner(self, made: Allocation | None, window: Window) -> Iterator[dict[str, Any]]:
        if made is None:
            return
        if made.operator:
            yield self._named("operator", made.operator)
        if made.module:
            within = made.module if window.layer is None else f"{self._layers}.{window.layer}.{made.module}"
            yield self._named("module", within)
        if made.recomputed:
            yield self._named("checkpoint", "forward again")

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        return self._frame.setdefault((kind, name), {"filename": kind, "line": 0, "name": name})


def _entry(action: str, size: int, stream: int, frames: Frames, index: int, category: str) -> Entry:
    return {
        "action": action,
        "size": size,
        "stream": stream,
        "frames": frames,
        "time_us": index,
        "compile_context": "N/A",
        "user_metadata": "",
        "pool_id": DEFAULT_POOL,
        "category": category,
    }


def _window_name(window: Window, layers: str) -> str:
    """`backward of model.layers.31`"""
    name = _PASSES[window.phase]
    if window.part == EVALUATION:
        name = f"evaluation: {name}"
    return name if window.layer is None else f"{name} of {layers}.{window.layer}"


def _allocator_settings(settings: AllocatorSettings) -> dict[str, Any]:
    return {
        "PYTORCH_CUDA_ALLOC_CONF": _conf(settings),
        "max_split_size": -1 if settings.max_split_size_mb is None else settings.max_split_size_mb * MIB,
        "garbage_collection_threshold": settings.garbage_collection_threshold,
        "expandable_segments": settings.expandable_segments,
        "pinned_num_register_threads": 1,
        "release_lock_on_cudamalloc": False,
        "pinned_use_cuda_host_register": False,
        "graph_capture_record_stream_reuse": False,
        "roundup_power2_divisions": {str(1 << power): n for power, n in enumerate(settings.divisions)},
    }


def _conf(settings: AllocatorSettings) -> str:
    """The text of PYTORCH_ALLOC_CONF that `parse_allocator_conf` reads as these settings."""
    defaults = AllocatorSettings()
    changed = [
        field.name for field in fields(settings) if getattr(settings, field.name) != getattr(defaults, field.name)
    ]
    return ",".join(f"{name}:{_conf_value(settings, name)}" for name in changed)


def _conf_value(settings: AllocatorSettings, name: str) -> str:
    if name == "roundup_power2_divisions":
        return f"[{','.join(f'{1 << power}:{parts}' for power, parts in enumerate(settings.divisions))}]"
    return str(getattr(settings, name))


def _json(content: dict[str, Any]) -> Iterator[str]:
    """The snapshot as JSON, in parts: the text is several times as large as the entries, which share their frames."""
    encode = json.JSONEncoder(separators=(",", ":")).encode
    traces = content["device_traces"]
    rest = encode({key: value for key, value in content.items() if value is not traces})
    yield f'{rest[:-1]},"device_traces":['
    for number, trace in enumerate(traces):
        yield ",[" if number else "["
        for start in range(0, len(trace), _ENTRIES_AT_ONCE):
            yield ("," if start else "") + encode(trace[start : start + _ENTRIES_AT_ONCE])[1:-1]
        yield "]"
    yield "]}"

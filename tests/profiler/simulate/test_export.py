"""The exported snapshot, held to PyTorch's own description of it and to the code of its viewer."""

from __future__ import annotations

import json
import pickle
import pickletools
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.cuda import _memory_viz

from planner.errors import InputError
from planner.run import TrainingRun
from planner.units import GIB, MIB
from profiler.simulate.allocator import AllocatorSettings, Replay, parse_allocator_conf, replay
from profiler.simulate.allocator.addresses import TOP
from profiler.simulate.events import Event
from profiler.simulate.export import snapshot, write_snapshot
from profiler.simulate.snapshot import read_snapshot
from profiler.simulate.stream import Stream, Stretch
from profiler.simulate.trace.trace import (
    ADAPTERS,
    BACKWARD,
    BASE_WEIGHTS,
    EMBED,
    EVALUATION,
    FORWARD,
    GRADIENTS,
    LOAD,
    OPTIMIZER,
    OPTIMIZER_STATES,
    SAVED,
    TEMPORARY,
    Allocation,
    Window,
)

NATIVE = AllocatorSettings()
EXPANDABLE = AllocatorSettings(expandable_segments=True)


def ten_events() -> Stream:
    """Loading, layer 3 forward and backward, and the optimizer; at the end the 0th, 1st, 5th and 6th block live."""
    played: list[tuple[int, Window, list[tuple[int, Allocation] | int]]] = [
        (0, Window(LOAD), [(0, made(12 * MIB, BASE_WEIGHTS))]),
        (0, Window(LOAD, 3, 20), [(1, made(MIB // 2, ADAPTERS))]),
        (1, Window(FORWARD, 3), [(2, made(30 * MIB, SAVED, "aten.mm.default", "mlp.down_proj"))]),
        (
            1,
            Window(BACKWARD, 3),
            [
                (3, made(4 * MIB, TEMPORARY, "aten.silu.default", "mlp.act_fn", recomputed=True)),
                2,
                (4, made(24 * MIB, GRADIENTS, "aten.mm.default")),
                3,
                4,
            ],
        ),
        (1, Window(OPTIMIZER), [(5, made(1_500_001, OPTIMIZER_STATES, "aten.zeros_like.default"))]),
        (2, Window(EMBED, None, EVALUATION), [(6, made(100, TEMPORARY, "aten.empty.memory_format"))]),
    ]
    stream = Stream()
    for step, window, entries in played:
        stream.stretches.append(Stretch(len(stream.events), step, window))
        for entry in entries:
            if isinstance(entry, int):
                stream.events.append(Event(entry, 0))
            else:
                stream.events.append(Event(entry[0], entry[1].size))
                stream.made.append(entry[1])
    assert len(stream.events) == 10
    return stream


def made(size: int, component: str, operator: str = "", module: str = "", recomputed: bool = False) -> Allocation:
    return Allocation(size, 0, 0, operator, module, component, recomputed)


def exported(
    stream: Stream, chosen: AllocatorSettings = NATIVE, capacity: int | None = None
) -> tuple[dict[str, Any], Replay]:
    replayed = replay(stream.events, chosen, capacity=capacity)
    return snapshot(stream, "model.layers", replayed, chosen, capacity=capacity), replayed


def text(lines: str) -> str:
    """In place of a flame graph, whose script is fetched from the network."""
    return lines


# -- the format --------------------------------------------------------------------------------------


def documented(name: str) -> set[str]:
    """The keys of a dictionary in the docstring of `torch.cuda.memory._snapshot`."""
    described = str(torch.cuda.memory._snapshot.__doc__)
    block = re.search(rf"class {name}\(TypedDict\):\n(.*?)(?:\n\n\n|\n    Args:)", described, re.DOTALL)
    assert block is not None
    return set(re.findall(r"^ +([a-z_]+): ", block[1], re.MULTILINE))


def test_every_documented_key_is_there():
    found, _ = exported(ten_events(), capacity=50 * MIB)
    segment = found["segments"][0]
    oom = found["device_traces"][0][-1]
    assert documented("Snapshot") <= set(found)
    assert documented("Segment") <= set(segment)
    assert documented("Block") <= set(segment["blocks"][0])
    assert documented("Frame") - {key for key in documented("Frame") if key.startswith("fx_")} == set(oom["frames"][0])
    for entry in found["device_traces"][0]:
        absent = {"addr"} if entry["action"] == "oom" else {"device_free"}
        assert documented("TraceEntry") - absent <= set(entry)
        assert not absent & set(entry)


def test_what_the_viewer_s_unpickler_knows(tmp_path: Path):
    """The opcodes of `unpickle` in torch/utils/viz/MemoryViz.js; it stops at any other."""
    known = """PROTO FRAME MEMOIZE BINGET LONG_BINGET BINPUT LONG_BINPUT EMPTY_DICT EMPTY_LIST EMPTY_TUPLE MARK SETITEM
        SETITEMS APPEND APPENDS LIST DICT TUPLE TUPLE1 TUPLE2 TUPLE3 BININT BININT1 BININT2 LONG1 BINFLOAT
        SHORT_BINUNICODE BINUNICODE NEWTRUE NEWFALSE NONE STOP"""
    for file in ("native.pickle", "expandable.pkl"):
        chosen = EXPANDABLE if file.startswith("expandable") else NATIVE
        stream = ten_events()
        write_snapshot(tmp_path / file, stream, "model.layers", replay(stream.events, chosen), chosen)
        content = (tmp_path / file).read_bytes()
        opcodes = list(pickletools.genops(content))
        assert {opcode.name for opcode, _, _ in opcodes} <= set(known.split())
        assert opcodes[0][1] == 4
        assert pickle.loads(content) == exported(stream, chosen)[0]


@pytest.mark.parametrize("chosen", [NATIVE, EXPANDABLE])
def test_javascript_holds_every_number(chosen: AllocatorSettings):
    found, _ = exported(ten_events(), chosen)
    numbers = [entry["addr"] for entry in found["device_traces"][0]]
    numbers += [segment["address"] for segment in found["segments"]]
    numbers += [segment["address"] + segment["total_size"] for segment in found["segments"]]
    numbers += [block["address"] for segment in found["segments"] for block in segment["blocks"]]
    assert all(int(float(number)) == number for number in numbers)


def test_categories_have_an_unknown():
    """MemoryViz.js misspells a name where it would add this category: it stops where it is missing."""
    found, _ = exported(ten_events())
    categories = {entry["category"] for entry in found["device_traces"][0]}
    assert categories == {
        "unknown",
        "base_weights",
        "adapters",
        "saved_activations",
        "temporaries",
        "gradients",
        "optimizer_states",
    }


def test_time_is_the_index_of_the_event():
    found, replayed = exported(ten_events())
    for entry in found["device_traces"][0]:
        if not entry["action"].startswith("segment"):
            assert replayed.addresses[entry["time_us"]] == entry["addr"]
    times = [entry["time_us"] for entry in found["device_traces"][0]]
    assert times == sorted(times) and times[-1] == 9


@pytest.mark.parametrize(
    "chosen",
    [
        NATIVE,
        EXPANDABLE,
        AllocatorSettings(max_split_size_mb=128, max_non_split_rounding_mb=40, garbage_collection_threshold=0.8),
        AllocatorSettings(roundup_power2_divisions=4, large_segment_size_mb=64, per_process_memory_fraction=0.5),
        AllocatorSettings(roundup_power2_divisions=(0, 1, 2, 4, 8, 16, 32, 64, 0, 1, 2, 4, 8, 16, 32, 64)),
    ],
)
def test_the_settings_are_written_as_pytorch_reads_them(chosen: AllocatorSettings):
    stream = ten_events()
    written = snapshot(stream, "", replay(stream.events, chosen, total_memory=80 * GIB), chosen)["allocator_settings"]
    again = parse_allocator_conf(written["PYTORCH_CUDA_ALLOC_CONF"])
    assert again.divisions == chosen.divisions
    assert {name: getattr(again, name) for name in again.__slots__ if name != "roundup_power2_divisions"} == {
        name: getattr(chosen, name) for name in chosen.__slots__ if name != "roundup_power2_divisions"
    }
    assert list(written["roundup_power2_divisions"].values()) == list(chosen.divisions)
    assert written["max_split_size"] == (-1 if chosen.max_split_size_mb is None else chosen.max_split_size_mb * MIB)


# -- what the viewer shows ---------------------------------------------------------------------------


def frames_of(found: dict[str, Any], event: int, action: str = "alloc") -> list[str]:
    """As `torch.cuda._memory_viz` writes them, innermost first."""
    trace = found["device_traces"][0]
    frames = next(entry["frames"] for entry in trace if entry["time_us"] == event and entry["action"] == action)
    return _memory_viz._frames_fmt(frames)


def test_frames_say_where_an_allocation_is_made():
    found, _ = exported(ten_events())
    assert frames_of(found, 0) == ["window:0:loading"]
    assert frames_of(found, 1) == ["window:0:loading of model.layers.3"]
    assert frames_of(found, 2) == [
        "operator:0:aten.mm.default",
        "module:0:model.layers.3.mlp.down_proj",
        "window:0:forward of model.layers.3",
        "step:1:training step 1",
    ]
    assert frames_of(found, 3) == [
        "operator:0:aten.silu.default",
        "module:0:model.layers.3.mlp.act_fn",
        "checkpoint:0:forward again",
        "window:0:backward of model.layers.3",
        "step:1:training step 1",
    ]
    assert frames_of(found, 8)[1:] == ["window:0:optimizer step", "step:1:training step 1"]
    assert frames_of(found, 9)[1:] == ["window:0:evaluation: forward up to the layers", "step:2:training step 2"]


def test_a_free_has_the_window_that_it_happens_in():
    found, _ = exported(ten_events())
    for action in ("free_requested", "free_completed"):
        assert frames_of(found, 4, action) == ["window:0:backward of model.layers.3", "step:1:training step 1"]


def test_the_trace_in_pythonic_style():
    """`_memory_viz trace`: by hand, segments one below the other from the top of the address space."""
    found, _ = exported(ten_events())
    weights, small, large, rest = (TOP - end * MIB for end in (12, 14, 44, 64))
    assert _memory_viz.trace(found).splitlines() == [
        "Device 0 ----------------",
        "17 entries",
        f"a = cudaMalloc({weights}, 12.0MiB)",
        "b = a[0:12.0MiB]",
        f"c = cudaMalloc({small}, 2.0MiB)",
        "d = c[0:512.0KiB]",
        f"e = cudaMalloc({large}, 30.0MiB)",
        "f = e[0:30.0MiB]",
        f"g = cudaMalloc({rest}, 20.0MiB)",
        "h = g[0:4.0MiB]",
        "del f # 30.0MiB",
        "# free completed for f 30.0MiB",
        "i = e[0:24.0MiB]",
        "del h # 4.0MiB",
        "# free completed for h 4.0MiB",
        "del i # 24.0MiB",
        "# free completed for i 24.0MiB",
        "j = g[0:1.4MiB]",
        f"k = c[{MIB // 2}:100.0B]",
        "TOTAL MEM: 116.0B",  # its own: 100 bytes, and the 16 entries before
    ]


def test_the_summary_of_segments():
    """`_memory_viz stats`: 12.5 MiB, 1,500,001 B and 100 B live in 12 + 2 + 30 + 20 MiB."""
    found, replayed = exported(ten_events())
    lines = _memory_viz.segsum(found).splitlines()
    allocated = 12 * MIB + MIB // 2 + 1_500_001 + 100
    assert [line for line in lines if line.endswith("internal) free")] == [
        "[a] 20.0MiB allocated, 18.6MiB (0.0% internal) free",
        "[  ] 30.0MiB allocated, 30.0MiB (0.0% internal) free",
    ]
    assert "segments: 4" in lines
    assert "total_reserved: 64.0MiB" in lines and replayed.reserved[-1] == 64 * MIB
    assert f"total_allocated: {_memory_viz.Bytes(allocated)}" in lines
    assert [(s["total_size"] // MIB, s["allocated_size"], s["requested_size"]) for s in found["segments"]] == [
        (20, 1_500_160, 1_500_001),
        (30, 0, 0),
        (2, MIB // 2 + 512, MIB // 2 + 100),
        (12, 12 * MIB, 12 * MIB),
    ]


@pytest.mark.parametrize("chosen", [NATIVE, EXPANDABLE])
def test_flame_graphs_add_up_to_what_is_reserved(chosen: AllocatorSettings):
    """`_memory_viz memory` and `segments`: bytes by frame, what was asked for and the gaps left by rounding."""
    found, replayed = exported(ten_events(), chosen)
    for lines in (_memory_viz.memory(found, text), _memory_viz.segments(found, text)):
        sizes = [line.rpartition(" ") for line in lines.splitlines()]
        assert sum(int(size) for _, _, size in sizes) == replayed.reserved[-1]
        assert sum(int(size) for frames, _, size in sizes if ";active_allocated;" in frames) == replayed.allocated[-1]
    assert "stream_0;active_allocated;window:0:loading 12582912" in _memory_viz.memory(found, text).splitlines()


def test_compare_finds_the_segments_of_a_step(capsys: pytest.CaptureFixture[str]):
    stream = ten_events()
    after, _ = exported(stream)
    loaded = Stream(stream.events[:2], stream.stretches[:2], stream.made[:2])
    before, _ = exported(loaded)
    lines = _memory_viz.compare(before["segments"], after["segments"], text).splitlines()
    assert "only_before = []" in capsys.readouterr().out
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == 50 * MIB


@pytest.mark.parametrize("plot", [_memory_viz.trace_plot, _memory_viz.segment_plot])
def test_plots_are_made(plot: Any):
    found, _ = exported(ten_events())
    assert "snapshot.pickle" in plot(found)


def test_filtering_what_was_freed_leaves_what_lives():
    found, _ = exported(ten_events())
    kept = _memory_viz.filter_alloc_free_pairs(found)["device_traces"][0]
    assert [entry["time_us"] for entry in kept if entry["action"] == "alloc"] == [0, 1, 8, 9]
    assert not [entry for entry in kept if entry["action"].startswith("free")]


# -- out of memory -----------------------------------------------------------------------------------


def test_out_of_memory_is_the_last_entry():
    """On 45 MiB the 4 MiB of event 3 want a segment of 20, with 44 taken by what lives."""
    found, replayed = exported(ten_events(), capacity=45 * MIB)
    assert replayed.out_of_memory is not None
    last = found["device_traces"][0][-1]
    assert (last["action"], last["size"], last["device_free"], last["time_us"]) == ("oom", 4 * MIB, MIB, 3)
    assert _memory_viz._frames_fmt(last["frames"])[1] == "module:0:model.layers.3.mlp.act_fn"
    assert "raise OutOfMemoryError # 4.0MiB requested, 1.0MiB free in CUDA" in _memory_viz.trace(found)


def test_the_size_that_did_not_fit_is_rounded():
    """`record_trace(TraceEntry::OOM, device_free, params.size(), …)` in c10/cuda/CUDACachingAllocator.cpp."""
    stream = Stream([Event(0, 1_500_001)], [Stretch(0, 0, Window(LOAD))], [made(1_500_001, BASE_WEIGHTS)])
    found, _ = exported(stream, capacity=MIB)
    (only,) = found["device_traces"][0]
    assert (only["action"], only["size"], only["device_free"]) == ("oom", 2930 * 512, MIB)


def test_segments_given_back_on_a_retry():
    """40 MiB hold 12, 2 and 24 only after the free 26 have been given back."""
    stream = Stream(
        events=[Event(0, 12 * MIB), Event(1, 26 * MIB), Event(1, 0), Event(2, 28 * MIB)],
        stretches=[Stretch(0, 1, Window(EMBED))],
        made=[made(size * MIB, TEMPORARY) for size in (12, 26, 28)],
    )
    found, replayed = exported(stream, capacity=40 * MIB)
    assert replayed.retries == 1 and replayed.out_of_memory is None
    assert [(entry["action"], entry["size"] // MIB) for entry in found["device_traces"][0][-3:]] == [
        ("segment_free", 26),
        ("segment_alloc", 28),
        ("alloc", 28),
    ]
    assert [segment["total_size"] // MIB for segment in found["segments"]] == [28, 12]


# -- read back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [NATIVE, EXPANDABLE, AllocatorSettings(roundup_power2_divisions=4)])
def test_read_back_it_replays_alike(chosen: AllocatorSettings, tmp_path: Path):
    stream = ten_events()
    replayed = replay(stream.events, chosen)
    write_snapshot(tmp_path / "step.json", stream, "model.layers", replayed, chosen)
    check_read_back(tmp_path / "step.json", stream, replayed, chosen)


def check_read_back(path: Path, stream: Stream, replayed: Replay, chosen: AllocatorSettings) -> None:
    (trace,) = read_snapshot(path)
    assert trace.settings.divisions == chosen.divisions
    assert trace.settings.expandable_segments == chosen.expandable_segments
    assert trace.initial == ()
    assert list(trace.events) == stream.events
    assert trace.block_addresses == replayed.addresses
    assert trace.segment_events == replayed.segment_events
    assert trace.reserved == replayed.reserved
    again = replay(trace.events, trace.settings)
    assert again.reserved == replayed.reserved
    assert again.segments == replayed.segments


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Any order of allocations and frees, on two streams, in a few stretches; blocks numbered as `compose` does."""
    stream = Stream(stretches=[Stretch(0, 0, Window(LOAD))])
    live: list[int] = []
    for _ in range(draw(st.integers(1, 60))):
        if draw(st.integers(0, 9)) == 0:
            stretch = Stretch(len(stream.events), draw(st.integers(0, 3)), Window(FORWARD, draw(st.integers(0, 3))))
            stream.stretches.append(stretch)
        if live and draw(st.booleans()):
            stream.events.append(Event(live.pop(draw(st.integers(0, len(live) - 1))), 0))
        else:
            size = draw(st.integers(1, 4 * MIB) | st.integers(1, 200 * MIB))
            live.append(len(stream.made))
            stream.events.append(Event(len(stream.made), size, draw(st.integers(0, 1))))
            stream.made.append(made(size, draw(st.sampled_from([SAVED, TEMPORARY])), "aten.mm.default"))
    return stream


@given(stream=streams(), expandable=st.booleans(), capacity=st.none() | st.integers(20 * MIB, 800 * MIB))
@settings(deadline=None, max_examples=150)
def test_any_stream_adds_up_in_the_viewer(stream: Stream, expandable: bool, capacity: int | None):
    chosen = EXPANDABLE if expandable else NATIVE
    found, replayed = exported(stream, chosen, capacity)
    _memory_viz.segsum(found)  # it checks its own sums
    _memory_viz.trace(found)
    reserved = allocated = reserved_peak = 0
    live: dict[int, tuple[int, int]] = {}
    for entry in found["device_traces"][0]:
        action, size = entry["action"], entry["size"]
        if action in ("segment_alloc", "segment_map"):
            reserved += size
        elif action in ("segment_free", "segment_unmap"):
            reserved -= size
        elif action == "alloc":
            live[entry["addr"]] = size, entry["stream"]
            allocated += size
        elif action == "free_completed":
            assert live.pop(entry["addr"]) == (size, entry["stream"])
            allocated -= size
        reserved_peak = max(reserved_peak, reserved)
    assert reserved_peak == replayed.reserved_peak
    assert reserved == sum(segment["total_size"] for segment in found["segments"])
    assert allocated == sum(segment["requested_size"] for segment in found["segments"])
    assert live == {
        block["address"]: (block["requested_size"], segment["stream"])
        for segment in found["segments"]
        for block in segment["blocks"]
        if block["state"] == "active_allocated"
    }


# -- files -------------------------------------------------------------------------------------------


def write(path: Path) -> None:
    stream = ten_events()
    write_snapshot(path, stream, "model.layers", replay(stream.events), NATIVE)


@pytest.mark.parametrize("name", ["step.html", "step", "step.pickle.gz"])
def test_another_extension(name: str, tmp_path: Path):
    with pytest.raises(InputError, match=r"name it \.pickle, which pytorch\.org/memory_viz opens, or \.json$"):
        write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_json_holds_the_same(tmp_path: Path):
    write(tmp_path / "step.JSON")
    found, _ = exported(ten_events())
    assert json.loads((tmp_path / "step.JSON").read_text()) == json.loads(json.dumps(found))


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)"):
        write(tmp_path / "missing" / "step.pickle")


def test_a_folder_of_that_name(tmp_path: Path):
    (tmp_path / "step.pickle").mkdir()
    with pytest.raises(InputError, match=r"cannot be written \(Is a directory\)"):
        write(tmp_path / "step.pickle")
    assert [path.name for path in tmp_path.iterdir()] == ["step.pickle"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["step.pickle", "step.json"])
def test_a_write_that_fails_half_way_leaves_the_old_file(name: str, tmp_path: Path):
    (tmp_path / name).write_text("before")
    with files_of_at_most(1000), pytest.raises(InputError, match=r"cannot be written \(File too large\)"):
        write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "before"


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(_self: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "step.pickle")
    assert not list(tmp_path.iterdir())


# -- a simulated run ---------------------------------------------------------------------------------

TINY = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.mark.slow
@pytest.mark.parametrize("chosen", [NATIVE, EXPANDABLE])
def test_a_simulated_run(chosen: AllocatorSettings, tmp_path: Path):
    from profiler.simulate import stack

    stack.import_stack()
    from profiler.simulate.traced import trace_run

    (tmp_path / "config.json").write_text(json.dumps(TINY))
    with stack.quiet():
        run = TrainingRun(model=str(tmp_path), sequence_length=128)
        traced = trace_run(run, None, False, None, lambda _phase, _share: None)
    replayed = replay(traced.stream.events, chosen)
    for name in ("run.pickle", "run.json"):
        write_snapshot(tmp_path / name, traced.stream, traced.layer_names, replayed, chosen)
    check_read_back(tmp_path / "run.json", traced.stream, replayed, chosen)
    found = pickle.loads((tmp_path / "run.pickle").read_bytes())
    assert f"total_reserved: {_memory_viz.Bytes(replayed.reserved[-1])}" in _memory_viz.segsum(found)
    frames = {line for entry in found["device_traces"][0] for line in _memory_viz._frames_fmt(entry["frames"])}
    assert "window:0:backward of model.layers.5" in frames
    assert "module:0:model.layers.5.mlp.down_proj" in frames
    assert "operator:0:aten.mm.default" in frames
    assert "step:3:training step 3" in frames

"""`simulate`: a run's real training stack on fake tensors, and what the allocator makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention
from planner.memory.ledger import Ledgers, Levels
from planner.plan import loaded_config
from planner.plan_types import Parameters, PlannedGpu
from planner.run import TrainingRun
from profiler.simulate import stack
from profiler.simulate.allocator import AllocatorSettings, Replay, replay
from profiler.simulate.export import write_snapshot
from profiler.simulate.ledger import LayerRange, changes_of, instant_of, ledgers, requested_sizes
from profiler.simulate.progress import Progress, silent
from profiler.simulate.stream import Stream
from profiler.simulate.timeline import timeline
from profiler.simulate.types import OutOfMemory, Simulation

if TYPE_CHECKING:
    from profiler.simulate.traced import TracedRun


def simulate(
    run: TrainingRun,
    gpu: Gpu | str | None = None,
    *,
    peft_config: str | None = None,
    full_depth: bool = False,
    settings: AllocatorSettings | None = None,
    live: bool = False,
    progress: Progress = silent,
    export: Path | None = None,
) -> Simulation:
    """Simulate a run on a card (its name, or a `Gpu`), or on none yet.

    peft_config: path of an `adapter_config.json` that stands for the run's method. full_depth: trace every layer
    instead of assembling the stream from a few. live: ledgers of tensors alone, to be held to a device without CUDA's
    allocator: in as many bytes as they ask for, and without cuBLAS' workspaces. export: where to write the replay as a
    snapshot for PyTorch's memory viewer.

    Raises `InputError` where the run, its model, the card or the installed libraries cannot be used, and
    `Abstention` for what is not simulated.
    """
    if run.num_gpus > 1:
        raise Abstention(
            f"runs on {run.num_gpus} GPUs (strategy {run.strategy}) are not simulated yet",
            way_out="simulate one GPU with --gpus 1",
        )
    # before the libraries are imported, which are told that there is no network
    loaded = loaded_config(run.model)
    notes = [loaded.note] if loaded.note else []
    if isinstance(gpu, str):
        match = find_gpu(gpu)
        gpu = match.gpu
        notes += [match.note] if match.note else []
    progress("importing the training stack", 0.0)
    stack.import_stack()
    from profiler.simulate.traced import trace_run

    with stack.quiet():
        traced = trace_run(run, peft_config, full_depth, gpu, progress, with_workspaces=not live)
    progress("replaying the allocator", 0.85)
    settings = settings or AllocatorSettings()
    capacity = gpu.usable_bytes if gpu is not None else None
    stream = traced.stream
    replayed = replay(stream.events, settings, capacity=capacity, empty_cache_before=stream.emptied)
    if export is not None:
        progress("writing the snapshot", 0.95)
        write_snapshot(export, stream, traced.layer_names, replayed, settings, capacity=capacity)
    return _simulation(traced, gpu, settings, replayed, live, notes)


def _simulation(
    traced: TracedRun,
    gpu: Gpu | None,
    settings: AllocatorSettings,
    replayed: Replay,
    live: bool,
    notes: list[str],
) -> Simulation:
    stream, layers = traced.stream, traced.layers
    failure = _failure(replayed, stream, layers, traced.layer_names, gpu.usable_bytes if gpu is not None else 0)
    retries = replayed.retries
    if replayed.out_of_memory is not None:
        replayed = replay(stream.events, settings, empty_cache_before=stream.emptied)
    changes = requested_sizes(stream) if live else changes_of(replayed.allocated)
    instants = ledgers(stream, changes, layers)
    peak = max(instants, key=lambda instant: instant.allocated_bytes)
    reserved = replayed.reserved_peak
    return Simulation(
        run=traced.run,
        peft_type=traced.peft_type,
        gpu=PlannedGpu(gpu.name, 1, gpu.memory_bytes, gpu.usable_bytes, gpu.context_bytes) if gpu else None,
        verdict=None if gpu is None else "does_not_fit" if failure else "tight" if retries else "fits",
        memory=Ledgers(
            peak_bytes=Levels(
                peak.allocated_bytes, reserved, reserved + gpu.context_bytes if gpu is not None else None
            ),
            instant=peak.name,
            basis="simulation",
            instants=instants,
        ),
        parameters=Parameters(traced.total, traced.trainable),
        timeline=timeline(stream, replayed.allocated, replayed.reserved, layers),
        retries=retries,
        out_of_memory=failure,
        layers=traced.depth,
        traced_layers=traced.traced,
        steps=stream.stretches[-1].step,
        versions=stack.versions(traced.run.kernels),
        approximations=traced.approximations,
        notes=(*notes, *traced.notes),
    )


def _failure(
    replayed: Replay, stream: Stream, layers: LayerRange, layer_names: str, capacity: int
) -> OutOfMemory | None:
    failed = replayed.out_of_memory
    if failed is None:
        return None
    allocation = stream.made[failed.block]
    stretch = next(stretch for stretch in reversed(stream.stretches) if stretch.begins <= failed.event)
    layer = stretch.window.layer
    module = allocation.module if layer is None else f"{layer_names}.{layer}.{allocation.module}".rstrip(".")
    return OutOfMemory(
        requested_bytes=failed.requested,
        allocated_bytes=failed.allocated,
        reserved_bytes=failed.reserved,
        capacity_bytes=capacity,
        instant=instant_of(stretch.window, layers) or "optimizer_step",
        module=module,
        operator=allocation.operator,
        step=stretch.step,
    )

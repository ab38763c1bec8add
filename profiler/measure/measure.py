"""`measure`: a few real steps of a run on a device of this machine, in this process."""

from __future__ import annotations

import contextlib
import gc
import platform
from collections.abc import Callable, Generator
from dataclasses import replace
from importlib import metadata

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention, InputError
from planner.memory.ledger import MEASUREMENT, Ledgers, Levels
from planner.memory.levels import cublas_workspaces
from planner.plan import loaded_config, resolved_run
from planner.plan_types import Parameters
from planner.run import TrainingRun
from planner.time.step import utilization
from planner.units import format_bytes
from profiler.measure.device.base import Device
from profiler.measure.device.sampler import Reading, Sampler, reader
from profiler.measure.measurable import check_measurable
from profiler.measure.out_of_memory import RanOutOfMemory
from profiler.measure.passes import Asked, Passes, run_passes
from profiler.measure.slices import (
    Depths,
    depths_of,
    no_slices,
    places_at_whole,
    reserved_at_whole,
    samples_at_whole,
)
from profiler.measure.timed import COVERAGE, interval_of_mean
from profiler.measure.types import (
    DONE,
    OUT_OF_MEMORY,
    MeasuredDevice,
    MeasuredOutOfMemory,
    MeasuredTime,
    Measurement,
    Sampled,
    Slices,
    StepSample,
)
from profiler.simulate import stack
from profiler.simulate.ledger import largest_of_instants
from profiler.simulate.progress import Progress, silent

STEPS = 8
"""Timed steps, where nothing else bounds them."""

FREE_SHARE = 0.95
"""Of the free memory: a model that is planned to take more than this is measured in slices."""

OPTIONAL = ("triton", "flash-attn")
"""Libraries whose kernels run where they are installed."""


def measure(
    run: TrainingRun,
    device: Device,
    *,
    slices: bool | None = None,
    weights: str | None = None,
    steps: int = STEPS,
    seconds_left: Callable[[], float] = lambda: float("inf"),
    progress: Progress = silent,
) -> Measurement:
    """Run real steps of a run on a device, of whose memory nothing is held afterwards.

    slices: measure a few layers and extrapolate; None: where the whole model is planned not to fit. weights: a folder
    of safetensors; None: random ones. steps: timed ones at most, beside two that warm up. seconds_left: asked before
    each timed step.

    Raises `InputError` where the run, its model or its weights cannot be used, and `Abstention` for what is not
    measured. Memory that runs out is no error: it is the measurement's outcome.
    """
    check_measurable(run, device.kind)
    if weights is not None and slices:
        raise InputError("slices are measured with random weights; leave out one of the two", field="weights")
    loaded = loaded_config(run.model)
    progress("importing the training stack", 0.0)
    stack.import_stack()
    notes = [loaded.note] if loaded.note else []
    described = device.described()
    gpu = find_gpu(described.gpu).gpu if described.gpu else None
    asked = Asked(run, loaded, steps, seconds_left, weights, cublas_workspaces(gpu) if device.kind == "cuda" else 0)
    depths, why = _depths(asked, described, gpu, slices)
    notes += [why] if why else []
    with stack.quiet(), _restored(device), Sampler(reader(device.card())) as sampler:
        measured = _measured(asked, device, sampler, progress, depths)
        sampled = sampler.sampled()
    return _measurement(asked, described, gpu, measured, sampled, depths, notes)


def _depths(
    asked: Asked, described: MeasuredDevice, gpu: Gpu | None, slices: bool | None
) -> tuple[Depths | None, str | None]:
    """The slices to measure, and why, where nobody asked for them."""
    if slices is False:
        return None, None
    why = None
    if slices is None:
        needed = _planned_bytes(asked.run, gpu)
        if needed is None or asked.weights is not None or needed <= FREE_SHARE * described.free_bytes:
            return None, None
        why = (
            f"measured in slices: the plan reserves {format_bytes(needed)}, "
            f"and {format_bytes(described.free_bytes)} of the device are free"
        )
    with stack.quiet():
        depths = depths_of(asked.run, asked.loaded)
    if depths is None and slices:
        raise no_slices(_layers(asked))
    return depths, why if depths is not None else None


def _planned_bytes(run: TrainingRun, gpu: Gpu | None) -> int | None:
    from planner.plan import plan_memory

    with contextlib.suppress(Abstention):
        return plan_memory(run, gpu).peak_bytes.reserved
    return None


def _measured(
    asked: Asked, device: Device, sampler: Sampler, progress: Progress, depths: Depths | None
) -> tuple[Passes, ...] | MeasuredOutOfMemory:
    read = reader(device.card())
    if depths is None:
        return _run(asked, device, sampler, read, progress, None)
    found: list[Passes] = []
    for number, depth in enumerate((depths.small, depths.large)):

        def tell(phase: str, share: float, number: int = number, depth: int = depth) -> None:
            progress(f"{phase}, {depth} layers", (number + share) / 2)

        passes = _run(asked, device, sampler, read, tell, tuple(range(depth)))
        if isinstance(passes, MeasuredOutOfMemory):
            return passes
        found += passes
    return tuple(found)


def _run(
    asked: Asked,
    device: Device,
    sampler: Sampler,
    read: Callable[[], Reading],
    tell: Progress,
    kept: tuple[int, ...] | None,
) -> tuple[Passes, ...] | MeasuredOutOfMemory:
    try:
        return (run_passes(asked, device, sampler, read, tell, kept),)
    except RanOutOfMemory as error:
        return error.failure
    finally:
        gc.collect()
        device.empty_cache()


def _measurement(
    asked: Asked,
    described: MeasuredDevice,
    gpu: Gpu | None,
    measured: tuple[Passes, ...] | MeasuredOutOfMemory,
    sampled: Sampled,
    depths: Depths | None,
    notes: list[str],
) -> Measurement:
    run = asked.run
    nothing = Measurement(
        run=run,
        device=described,
        outcome=OUT_OF_MEMORY,
        memory=None,
        levels=(),
        time=None,
        sampled=sampled,
        out_of_memory=None,
        slices=_slices(depths, described.kind) if depths is not None else None,
        parameters=Parameters(0, 0),
        layers=_layers(asked) if depths is None else depths.whole,
        retries=0,
        loss=None,
        weights=asked.weights or "random",
        versions=_versions(run),
        notes=tuple(notes),
    )
    if isinstance(measured, MeasuredOutOfMemory):
        return replace(nothing, out_of_memory=measured)
    last = measured[-1]
    places, samples, parameters = last.places, last.samples, Parameters(last.total, last.trainable)
    if depths is not None:
        small, large = measured
        places = places_at_whole(depths, small, large)
        samples = samples_at_whole(depths, small.samples, large.samples)
        parameters = Parameters(
            depths.bytes_at_whole(small.total, large.total), depths.bytes_at_whole(small.trainable, large.trainable)
        )
    instants = largest_of_instants(places)
    peak = max(instants, key=lambda instant: instant.allocated_bytes)
    if depths is None:
        levels = Levels(peak.allocated_bytes, last.peak.reserved, last.peak.process)
    else:
        levels = Levels(peak.allocated_bytes, reserved_at_whole(peak.allocated_bytes, last), None)
    if not all(passes.finite for passes in measured):
        notes = [
            *notes,
            f"a loss was not a finite number ({last.loss}): bytes and seconds stand, the training does not",
        ]
    return replace(
        nothing,
        outcome=DONE,
        memory=Ledgers(
            peak_bytes=levels,
            instant=peak.name,
            basis=MEASUREMENT,
            instants=instants,
        ),
        levels=last.levels if depths is None else (),
        time=_time(run, gpu, samples),
        parameters=parameters,
        retries=sum(passes.retries for passes in measured),
        loss=last.loss,
        notes=tuple(notes),
    )


def _time(run: TrainingRun, gpu: Gpu | None, samples: tuple[StepSample, ...]) -> MeasuredTime | None:
    if not samples:
        return None
    seconds = [sample.step_s for sample in samples]
    step_s = sum(seconds) / len(seconds)
    low, high = interval_of_mean(seconds)
    mfu = hfu = None
    if gpu is not None:
        with contextlib.suppress(Abstention):
            _, architecture, resolved = resolved_run(run)
            mfu, hfu = utilization(architecture, resolved, gpu, step_s)
    tokens = run.micro_batch_size * run.sequence_length * run.gradient_accumulation_steps
    return MeasuredTime(samples, tokens, step_s, low, high, COVERAGE, mfu, hfu)


def _slices(depths: Depths, kind: str) -> Slices:
    small, large, whole = depths
    said = [
        f"bytes of every instant and component: the line through {small} and {large} layers at {whole}",
        f"reserved memory: beside live tensors as much as {large} layers have",
        f"forward, backward and optimizer time: the line through {small} and {large} layers at {whole}",
    ]
    if kind == "cpu":  # where nothing reserves memory
        del said[1]
    return Slices((small, large), whole, tuple(said))


def _layers(asked: Asked) -> int:
    """Decoder layers, as the config has them."""
    from profiler.simulate.build.model import transformers_config

    return int(transformers_config(asked.loaded).get_text_config().num_hidden_layers)


def _versions(run: TrainingRun) -> tuple[tuple[str, str], ...]:
    found = [("python", platform.python_version()), *stack.versions(run.kernels)]
    for library in OPTIONAL:
        if library not in dict(found):
            with contextlib.suppress(metadata.PackageNotFoundError):
                found.append((library, metadata.version(library)))
    return tuple(found)


@contextlib.contextmanager
def _restored(device: Device) -> Generator[None]:
    """What a measurement changes of the process is put back: the seed's effect on chance, and what is cached."""
    import torch

    before = torch.get_rng_state()
    torch.default_generator.manual_seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(before)
    device.empty_cache()

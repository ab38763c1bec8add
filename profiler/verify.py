"""`verify`: a run measured in a process of its own, with its estimate and its simulation held to that."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention
from planner.plan import plan
from planner.plan_types import Plan
from planner.run import TrainingRun
from profiler.documents import from_document, to_document
from profiler.measure.bounds import WARM_UP, Bounds
from profiler.measure.child.lock import device_lock
from profiler.measure.child.supervise import run_in_child
from profiler.measure.device import visible
from profiler.measure.device.no_cuda import gpu_driver
from profiler.measure.measurable import check_measurable
from profiler.measure.probe import TARGET, Probe
from profiler.measure.types import DONE, Measurement
from profiler.simulate.progress import Progress, silent
from profiler.simulate.types import Simulation
from profiler.verification import TOLERANCE, Verification, verified

Simulator = Callable[[TrainingRun, "Gpu | None", bool], Simulation]
"""Simulates a run on a card, live tensors alone where the last argument is true."""


def verify(
    run: TrainingRun,
    gpu: Gpu | str | None = None,
    *,
    device: str | None = None,
    slices: bool | None = None,
    weights: str | None = None,
    bounds: Bounds | None = None,
    tolerance: float = TOLERANCE,
    simulator: Simulator | None = None,
    with_simulation: bool = True,
    keep: Callable[[Measurement], object] = lambda _: None,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Measure a run, and hold the plan and the simulation of it to that.

    gpu: the card that the run is meant for; None: the one that is measured. device: cuda, xpu, mps or cpu; None: the
    first that there is. slices: measure a few layers for all; None: where the whole model does not fit. weights: a
    folder of safetensors; None: random ones. simulator: in place of `simulate`, which has what is left of the bound.
    keep: gets the measurement before anything else is done with it. tell: hears what is worth a sentence while it runs,
    such as another measurement that is waited for.

    Raises `InputError` and `Abstention` as `measure` does, `NoUsableDevice`, and `NotMeasured` where the process that
    measures comes to an end without a result.
    """
    if isinstance(gpu, str):
        gpu = find_gpu(gpu).gpu
    # before anything is measured: what is wrong with a run is said at once
    check_measurable(run, device)
    planned, why_no_plan = _planned(run, gpu)
    bounds = bounds or Bounds()
    until = time.monotonic() + bounds.seconds
    measurement = measured(
        run, device=device, slices=slices, weights=weights, bounds=bounds, progress=progress, tell=tell
    )
    keep(measurement)
    if gpu is None and measurement.device.gpu is not None:
        gpu = find_gpu(measurement.device.gpu).gpu
        planned, why_no_plan = _planned(run, gpu)
    simulation, why_no_simulation = None, None
    if with_simulation and time.monotonic() > until:
        why_no_simulation = f"the {bounds.seconds:,.3g} s of {bounds.seconds_option} were over"
    elif with_simulation:
        simulation, why_no_simulation = _simulated(measurement, gpu, simulator or _simulate)
    return verified(measurement, planned, why_no_plan, simulation, why_no_simulation, tolerance)


def measured(
    run: TrainingRun,
    *,
    device: str | None = None,
    slices: bool | None = None,
    weights: str | None = None,
    bounds: Bounds,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """A run measured in a process of its own, one at a time on a device. Arguments and errors as of `verify`."""
    steps = bounds.max_steps - WARM_UP
    probe = Probe(run, device, weights, slices, steps)
    with device_lock(_lock_name(device), bounds.seconds, tell, what=run.model) as lock:
        if lock.warning:
            tell(lock.warning)
        document = run_in_child(
            TARGET,
            to_document(probe),
            seconds=bounds.seconds,
            progress=progress,
            keep=() if lock.descriptor is None else (lock.descriptor,),
        )
    measurement = from_document(Measurement, document)
    cut_short = _cut_short(measurement, steps, bounds)
    return replace(measurement, notes=(*measurement.notes, cut_short)) if cut_short else measurement


def _cut_short(measurement: Measurement, steps: int, bounds: Bounds) -> str | None:
    """Which bound left fewer timed steps than there are usually, or none."""
    timed = len(measurement.time.samples) if measurement.time is not None else 0
    if measurement.outcome != DONE or timed >= max(steps, 1):
        return None
    if steps == 0:
        return f"no step was timed: --max-steps leaves none beside the {WARM_UP} that warm up; raise it for the time"
    over = f"the {bounds.seconds:,.3g} s of {bounds.seconds_option} were over"
    if timed == 0:
        return f"no step was timed: after the {WARM_UP} that warm up {over}; raise it for the time"
    return f"{timed} of {steps} steps were timed: then {over}"


def _lock_name(device: str | None) -> str:
    """One for each card of NVIDIA or AMD that comes first in CUDA_VISIBLE_DEVICES, one for all other devices."""
    cards = visible.setting()
    hidden = cards is not None and cards.strip() in ("", "-1")
    if device == "cpu" or hidden or gpu_driver() is None:
        return "this machine"
    first = (cards or "").partition(",")[0]
    name = "".join(char for char in first if char.isascii() and (char.isalnum() or char == "-"))[:60]
    return f"GPU {name or '0'}"


def _planned(run: TrainingRun, gpu: Gpu | None) -> tuple[Plan | None, str | None]:
    try:
        return plan(run, gpu), None
    except Abstention as error:
        return None, error.reason


def _simulated(measurement: Measurement, gpu: Gpu | None, simulator: Simulator) -> tuple[Simulation | None, str | None]:
    try:
        return simulator(measurement.run, gpu, measurement.device.kind == "cpu"), None
    except Abstention as error:
        return None, error.reason


def _simulate(run: TrainingRun, gpu: Gpu | None, live: bool) -> Simulation:
    from profiler.simulate.simulate import simulate

    return simulate(run, gpu, live=live)

"""What runs in the child process: a measurement as it was asked for, from a document to a document."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from planner.errors import NoUsableDevice
from planner.run import TrainingRun
from profiler.documents import from_document, to_document

TARGET = "profiler.measure.probe:measured"
"""`measured`, as `run_in_child` takes it."""

BITSANDBYTES = ("nf4", "fp4", "int8")
"""Quantizations that need it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A measurement to be made."""

    run: TrainingRun
    device: str | None
    """cuda, xpu, mps or cpu; None: the first of them that there is."""
    weights: str | None
    """A folder of safetensors; None: random weights."""
    slices: bool | None
    """Whether a few layers stand for all; None: where the whole model is planned not to fit."""
    steps: int
    """Timed ones, at most."""


class Report(Protocol):
    """What a child's function is given; `profiler.measure.child.child.Report`."""

    @property
    def progress(self) -> Callable[[str, float], None]:
        """Told of each phase."""
        ...

    @property
    def seconds_left(self) -> Callable[[], float]:
        """Until it should return what it has."""
        ...


def measured(request: Mapping[str, object], report: Report) -> dict[str, object]:
    """The `Measurement` of a `Probe`.

    Raises `NoUsableDevice`, and what `measure` raises.
    """
    probe = from_document(Probe, request)
    report.progress("importing torch", 0.0)
    # threads that wait for work would take cores from the one that starts kernels
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with _imports_kept():
        from profiler.measure.device.find import find_device, overlooked

        # which says it where there is no torch, that all the rest needs
        device = find_device(probe.device)
        from profiler.doctor.libraries import no_bitsandbytes
        from profiler.measure.device.busy import busy
        from profiler.measure.measure import measure
        from profiler.simulate import stack

        stack.import_stack()
    if probe.run.quantization in BITSANDBYTES and (missing := no_bitsandbytes(device.kind)):
        raise NoUsableDevice(missing)
    noticed = (overlooked() if probe.device is None and device.kind == "cpu" else None, busy(device))
    measurement = measure(
        probe.run,
        device,
        slices=probe.slices,
        weights=probe.weights,
        steps=probe.steps,
        seconds_left=report.seconds_left,
        progress=report.progress,
    )
    notes = tuple(note for note in noticed if note)
    return to_document(replace(measurement, notes=(*notes, *measurement.notes)))


@contextlib.contextmanager
def _imports_kept() -> Generator[None]:
    """What imports make stays for good: looking for garbage among it would take a second."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()

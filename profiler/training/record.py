"""A watched training as a `Measurement`, to be kept as a record."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence

from planner.memory.ledger import MEASUREMENT, Instant, Ledgers, Levels
from planner.plan_types import Parameters
from planner.run import TrainingRun
from profiler.measure.types import (
    DONE,
    OUT_OF_MEMORY,
    MeasuredDevice,
    MeasuredLevels,
    MeasuredOutOfMemory,
    Measurement,
    Sampled,
)
from profiler.training.model import GRADIENTS
from profiler.training.training import BETWEEN, PASSES, UPDATE, Watched

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "trl")

REST = "temporaries"
"""What is alive in the optimizer's step beside parameters, gradients and states: its temporaries and workspaces."""


def versions() -> tuple[tuple[str, str], ...]:
    """Library -> its version, of those that are installed."""
    found = [("python", platform.python_version())]
    for name in LIBRARIES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            continue
    return tuple(found)


def measurement(
    run: TrainingRun,
    device: MeasuredDevice,
    watched: Watched,
    failure: str | None,
    *,
    parameters: Parameters,
    layers: int,
    loss: float | None,
    notes: Sequence[str],
) -> Measurement | None:
    """The measurement that the training is; None where it says nothing of memory.

    run: with the largest batch that was seen. failure: the first sentence of an out-of-memory; None where the training
    ended otherwise. layers: decoder layers of the model.
    """
    memory = ledgers(watched)
    if memory is None and failure is None:
        return None
    levels = watched.levels
    failed = None
    if failure is not None:
        failed = MeasuredOutOfMemory(
            requested_bytes=None,
            allocated_bytes=levels.allocated if levels else None,
            reserved_bytes=levels.reserved if levels else None,
            capacity_bytes=device.usable_bytes,
            instant=PASSES,
            step=watched.steps + 1,
            message=failure,
        )
    host = watched.host_peak
    return Measurement(
        run=run,
        device=device,
        outcome=DONE if failed is None else OUT_OF_MEMORY,
        memory=memory,
        levels=tuple(
            MeasuredLevels(instant.name, instant.allocated_bytes, levels and levels.peak_reserved, None, None, host)
            for instant in (memory.instants if memory else ())
        ),
        time=watched.time(),
        sampled=Sampled(0, host, None, None, None, None, None, None),
        out_of_memory=failed,
        slices=None,
        parameters=parameters,
        layers=layers,
        retries=levels.retries if levels else 0,
        loss=loss,
        weights="as the training had them",
        versions=versions(),
        notes=tuple(notes),
    )


def ledgers(watched: Watched) -> Ledgers | None:
    """The ledgers of a training: the peak, and the optimizer's step; None where no allocator keeps count.

    An allocator's peak has no components. What is not parameters or states of it stands under the instant's own name.
    """
    peak, levels, held = watched.peak, watched.levels, watched.held
    if peak is None or levels is None or held is None:
        return None
    lasting = {name: size for name, size in held.items() if name != GRADIENTS}
    instants: dict[str, Instant] = {}
    if watched.update is not None:
        instants[UPDATE] = _instant(UPDATE, held, watched.update.allocated, REST)
    rest = REST if peak.instant == UPDATE else peak.instant
    instants[peak.instant] = _instant(peak.instant, held if peak.instant == UPDATE else lasting, peak.allocated, rest)
    ordered = [instants[name] for name in (PASSES, UPDATE, BETWEEN) if name in instants]
    return Ledgers(
        peak_bytes=Levels(peak.allocated, max(levels.peak_reserved, peak.allocated), None),
        instant=peak.instant,
        basis=MEASUREMENT,
        instants=tuple(ordered),
    )


def _instant(name: str, components: dict[str, int], allocated: int, rest: str) -> Instant:
    """A ledger that adds up to what is allocated; states in host memory are no part of it."""
    left = allocated - sum(components.values())
    if left < 0:
        return Instant(name, {rest: allocated})
    return Instant(name, {**components, rest: left})

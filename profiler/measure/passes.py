"""One model on one device: loaded, warmed up, timed, and its tensors followed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from planner.architecture.config_file import LoadedConfig
from planner.memory.ledger import Instant, Levels
from planner.run import TrainingRun
from profiler.measure.as_on_cuda import as_on_cuda
from profiler.measure.bounds import WARM_UP
from profiler.measure.build import build
from profiler.measure.device.base import Device
from profiler.measure.device.sampler import Reading, Sampler
from profiler.measure.leveled import Leveled, highest_of_instants
from profiler.measure.out_of_memory import out_of_memory_told
from profiler.measure.steps import Trainer
from profiler.measure.timed import Timer
from profiler.measure.tracked import Tracked
from profiler.measure.types import MeasuredLevels, StepSample
from profiler.simulate.allocator import AllocatorSettings, replay
from profiler.simulate.ledger import Place, largest_of_instants, ledgers_of_places, requested_sizes
from profiler.simulate.progress import Progress
from profiler.simulate.trace.trace import RUNTIME, TEMPORARY, Window


@dataclass(frozen=True, slots=True)
class Asked:
    """What to run, and for how long."""

    run: TrainingRun
    loaded: LoadedConfig
    steps: int
    """At most so many timed ones."""
    seconds_left: Callable[[], float]
    """Before the measurement has to end."""
    weights: str | None = None
    workspaces: int = 0
    """Bytes that cuBLAS takes of the allocator on this card."""


@dataclass(frozen=True, slots=True)
class Passes:
    """What one model took."""

    places: Mapping[Place, Instant]
    """The largest ledger of each place of a step, under the name of its instant."""
    live: Mapping[Place, Instant]
    """The same of tensors alone, in as many bytes as they asked for; on a CPU `places` is that too."""
    levels: tuple[MeasuredLevels, ...]
    """The highest of each instant."""
    peak: Levels
    """Of all steps; reserved as the allocator's replay has it where the device has no caching allocator."""
    samples: tuple[StepSample, ...]
    retries: int
    loss: float | None
    finite: bool
    """Whether every loss was."""
    total: int
    trainable: int


def run_passes(
    asked: Asked,
    device: Device,
    sampler: Sampler,
    read: Callable[[], Reading],
    tell: Progress,
    kept: tuple[int, ...] | None = None,
) -> Passes:
    """Run a model, with the layers `kept` of it (None: all), and leave nothing of it on the device.

    But where memory runs out in what Python does in a backward pass (a checkpointed layer that runs again), torch
    itself keeps some tensors.
    Raises `RanOutOfMemory`; `InputError` and `Abstention` where the stack refuses the run.
    """
    run = asked.run
    counted = device.allocator() is not None
    before = _retries(device)
    tracked, leveled = Tracked(device.torch_device.type), Leveled(device, read)
    with out_of_memory_told(device, leveled), _as_on_cuda(run, device):
        tell("building the model", 0.1)
        with tracked.loading():
            built = build(run, asked.loaded, device.torch_device, kept=kept, weights=asked.weights, done=tracked.loaded)
        tracked.adopt_model(built)
        trainer = Trainer(built, run, device.torch_device, device.empty_cache)
        tell("warming up", 0.3)
        with contextlib.ExitStack() as watching:
            watching.enter_context(leveled.steps(built))
            if not counted:
                watching.enter_context(tracked.steps(built))
            watcher: Leveled | _Both = leveled if counted else _Both(leveled, tracked)
            for step in range(1, WARM_UP + 1):
                watcher.begin(step)
                trainer.step(watcher)
            if run.eval_batch_size:
                trainer.evaluate(watcher)
        device.reset_peaks()
        samples = _timed(asked, trainer, device, sampler, leveled, tell)
        held = device.allocator()
        if counted:
            tell("following its tensors", 0.8)
            tracked.adopt_states(trainer.optimizer)
            with tracked.steps(built):
                followed = _Noted(tracked, leveled, WARM_UP + len(samples) + 1)
                tracked.begin(followed.step)
                trainer.step(followed)
                if run.eval_batch_size:
                    trainer.evaluate(followed)
    stream, layers = tracked.stream(), tracked.layers()
    places = live = ledgers_of_places(stream, requested_sizes(stream), layers)
    levels = highest_of_instants(leveled.places)
    if held is None:
        # what CUDA's allocator would hold of the same tensors
        reserved = replay(stream.events, AllocatorSettings()).reserved_peak
        levels = _as_followed(levels, largest_of_instants(places))
    else:
        reserved = max([held.peak_reserved, *(at.reserved or 0 for at in levels)])
        places = with_unseen(places, leveled.places, asked.workspaces)
    peak = Levels(max(at.allocated for at in levels), reserved, _most(at.process for at in levels))
    return Passes(
        places=places,
        live=live,
        levels=levels,
        peak=peak,
        samples=tuple(samples),
        retries=_retries(device) - before,
        loss=trainer.read_loss(),
        finite=trainer.finite,
        total=built.total,
        trainable=built.trainable,
    )


def with_unseen(
    places: Mapping[Place, Instant], levels: Mapping[Place, MeasuredLevels], workspaces: int
) -> dict[Place, Instant]:
    """The ledgers with what only the allocator knows of: cuBLAS' workspaces, scratch memory of kernels, and how it
    rounds.

    levels: as the allocator counted each place without anyone following tensors. The sums of the ledgers become
    theirs, unless other components than temporaries are more already.
    """
    found: dict[Place, Instant] = {}
    for place, ledger in places.items():
        counted = levels[place].allocated if place in levels else ledger.allocated_bytes
        unseen = counted - ledger.allocated_bytes
        runtime = min(max(unseen, 0), workspaces)
        components = ledger.components | {RUNTIME: ledger.components[RUNTIME] + runtime}
        components[TEMPORARY] = max(components[TEMPORARY] + unseen - runtime, 0)
        found[place] = Instant(ledger.name, components)
    return found


def _as_followed(levels: Sequence[MeasuredLevels], instants: Sequence[Instant]) -> tuple[MeasuredLevels, ...]:
    """The levels with what followed tensors take in place of what an allocator would count."""
    known = {instant.name: instant.allocated_bytes for instant in instants}
    return tuple(replace(at, allocated=known[at.name]) for at in levels if at.name in known)


def _timed(
    asked: Asked, trainer: Trainer, device: Device, sampler: Sampler, leveled: Leveled, tell: Progress
) -> list[StepSample]:
    """Steps with nobody watching but a clock, as many as there is time for."""
    timer = Timer(device)
    samples: list[StepSample] = []
    device.synchronize()
    with sampler.timed():
        while len(samples) < asked.steps and asked.seconds_left() > (samples[-1].step_s if samples else 0):
            tell("timing steps", 0.4 + 0.4 * len(samples) / asked.steps)
            noted = _Noted(timer, leveled, WARM_UP + len(samples) + 1)
            timer.begin()
            trainer.step(noted)
            samples.append(timer.end())
    return samples


class _Noted:
    """A watcher of a step that levels are not read of: should memory run out in it, they know where it was."""

    def __init__(self, watcher: Timer | Tracked, leveled: Leveled, step: int) -> None:
        self.step = leveled.step = step
        self._watcher = watcher
        self._leveled = leveled

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        self._leveled.window = window
        self._watcher.enter(window, component)

    def settle(self, part: int) -> None:
        self._watcher.settle(part)


class _Both:
    """Two watchers of the same steps."""

    def __init__(self, leveled: Leveled, tracked: Tracked) -> None:
        self._watchers = (leveled, tracked)

    def begin(self, step: int) -> None:
        for watcher in self._watchers:
            watcher.begin(step)

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        for watcher in self._watchers:
            watcher.enter(window, component)

    def settle(self, part: int) -> None:
        for watcher in self._watchers:
            watcher.settle(part)


def _as_on_cuda(run: TrainingRun, device: Device) -> contextlib.AbstractContextManager[None]:
    return as_on_cuda(run) if device.kind == "cpu" else contextlib.nullcontext()


def _retries(device: Device) -> int:
    held = device.allocator()
    return held.retries if held else 0


def _most(sizes: Iterable[int | None]) -> int | None:
    return max((size for size in sizes if size is not None), default=None)

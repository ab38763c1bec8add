"""One training of a `Trainer`, from its first step to its end: planned, watched, and reported."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

from planner.catalogue import Gpu, find_gpu, own_gpu
from planner.errors import Abstention, InputError
from planner.plan import plan, resolve
from planner.plan_types import Parameters, Plan
from planner.run import TrainingRun
from planner.strategies.communicators import usable_bytes
from planner.units import GIB
from profiler.measure.device.base import Device
from profiler.measure.device.find import find_device
from profiler.measure.types import Measurement
from profiler.training.data import is_flattened, known_lengths
from profiler.training.forecast import Forecast, forecast, forecast_sentence
from profiler.training.model import class_name, counts
from profiler.training.record import measurement, versions
from profiler.training.report import TrainingReport
from profiler.training.run import derived_run
from profiler.training.shapes import BatchShapes, Shape
from profiler.training.training import Watch


class Session:
    """What the callback knows of one training.

    run: the run, where the user says it; else it is derived. gpu: the card to plan for in place of the one at hand.
    Raises nothing for what the planner does not know: the report says it.
    """

    def __init__(
        self,
        arguments: Any,
        state: Any,
        model: Any,
        optimizer: Any,
        dataloader: Any,
        *,
        run: TrainingRun | None,
        gpu: Gpu | None,
    ) -> None:
        self._arguments, self._state, self._model, self._optimizer = arguments, state, model, optimizer
        self._device: Device = find_device(next(model.parameters()).device.type)
        self._described = self._device.described()
        self.watch = Watch(self._device)
        self._lengths = known_lengths(dataloader, arguments)
        self._flattened = is_flattened(dataloader)
        self._first_step = int(state.global_step)
        given = state.train_batch_size or arguments.train_batch_size
        self._micro_batch = max(1, int(given) // max(1, int(getattr(arguments, "n_gpu", 1))))
        self._notes: tuple[str, ...] = ()
        self._unplanned: str | None = None
        self._is_here = gpu is None
        self._gpu = self._card(gpu)
        self._forecast: Forecast | None = None
        self._warning: str | None = None
        self._shapes = BatchShapes()
        self._hook: Any = None
        self._folder = Path(tempfile.mkdtemp(prefix="lora-plan-"))
        try:
            self._run = self._derived(run)
        except BaseException:
            self.close()
            raise
        # torch.compile would trace the hook
        if not getattr(arguments, "torch_compile", False):
            self._hook = model.register_forward_pre_hook(self._shapes, with_kwargs=True)

    def batches_seen(self) -> None:
        """Tells the watch of the batches since the last time."""
        for shape in self._shapes.take():
            self.watch.batch(shape)

    def check(self) -> str | None:
        """After step 2: a sentence where the batches that are to come will not fit; None where they do, or where it is
        not known."""
        watched, run, usable = self.watch.watched(), self._run, self._usable()
        step, largest, longest = self.watch.of_step, watched.largest, self._lengths.longest
        if run is None or usable is None or step is None or largest is None or longest is None:
            return None
        coming, number = Shape(self._micro_batch, longest), self._lengths.batch
        if coming.tokens <= largest.tokens or self._is_past(number):
            return None
        number = None if self._first_step or self._flattened else number
        try:
            found = forecast(run, coming, number, usable, watched.levels, step, largest)
        except (InputError, Abstention):
            return None  # the report says so, as it does of the plan
        self._forecast = found
        if found.fits:
            return None
        self._warning = forecast_sentence(found, self._gpu.name if self._gpu is not None else self._described.name)
        return self._warning

    def end(self, error: BaseException | None, *, told: bool) -> tuple[TrainingReport, Measurement | None]:
        """What is to be said of the training, and kept. error: what it ended with, where that is known. told: whether
        its trainer said that it ended."""
        self.batches_seen()
        watched = self.watch.watched()
        largest, run = watched.largest, self._run
        if run is not None and largest is not None:
            run = run.replace(micro_batch_size=largest.batch, sequence_length=largest.length)
        total, trainable = counts(self._model)
        parameters = Parameters(total, trainable)
        planned = self._planned(run)
        report = TrainingReport(
            outcome=self._outcome(error, told),
            model=class_name(self._model),
            parameters=parameters,
            device=self._described,
            run=run,
            plan=planned,
            unplanned=self._unplanned,
            lengths=self._lengths,
            watched=watched,
            forecast=self._forecast,
            warning=self._warning,
            notes=(*self._notes, *_miscounted(planned, parameters)),
            versions=versions(),
            ranks=int(self._arguments.world_size),
            record="",
        )
        if run is None or self._described.kind == "cpu" or not (told or error):
            return report, None
        failure = str(error).partition("\n")[0] if error is not None and self._device.is_out_of_memory(error) else None
        kept = measurement(
            run,
            self._described,
            watched,
            failure,
            parameters=parameters,
            layers=_layers(run),
            loss=_last_loss(self._state),
            notes=(*_of_training(report), *report.notes),
        )
        return report, kept

    def close(self) -> None:
        """Takes away what was there for the time of the training: the hook, and the model's config."""
        if self._hook is not None:
            self._hook.remove()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _derived(self, run: TrainingRun | None) -> TrainingRun | None:
        longest = self._lengths.longest
        if run is not None:
            is_open = longest is not None and "sequence_length" in run.defaulted
            return run.replace(sequence_length=longest) if is_open else run
        try:
            derived = derived_run(
                self._arguments,
                self._model,
                self._optimizer,
                micro_batch=self._micro_batch,
                sequence=longest,
                folder=self._folder,
            )
        except (InputError, Abstention) as error:
            self._unplanned = str(error)
            return None
        self._notes = derived.notes
        return derived.run

    def _card(self, gpu: Gpu | None) -> Gpu | None:
        """The card that was named, or the one at hand: of the catalogue, or by its memory."""
        described = self._described
        if gpu is not None or described.kind == "cpu":
            return gpu
        if described.gpu is not None:
            return find_gpu(described.gpu).gpu
        try:
            return own_gpu(described.memory_bytes / GIB, described.name)
        except InputError:
            return None

    def _planned(self, run: TrainingRun | None) -> Plan | None:
        if run is None:
            return None
        try:
            return plan(run, self._gpu)
        except (InputError, Abstention) as error:
            self._unplanned = str(error)
            return None

    def _usable(self) -> int | None:
        """What the allocator can hold: on the card at hand no more than is free beside what it already holds."""
        levels = self.watch.watched().levels
        if levels is None or not self._is_here:
            return usable_bytes(self._gpu, self._run) if self._gpu is not None and self._run is not None else None
        now = self._device.described()
        here = now.free_bytes + levels.reserved
        return here if now.usable_bytes is None else min(here, now.usable_bytes)

    def _is_past(self, number: int | None) -> bool:
        """Whether a numbered batch is among those that were seen, or that the training will not come to."""
        if number is None or self._first_step:
            return False
        each = int(self._arguments.gradient_accumulation_steps)
        return number <= self.watch.steps * each or number > int(self._state.max_steps) * each

    def _outcome(self, error: BaseException | None, told: bool) -> str:
        done, most = int(self._state.global_step), int(self._state.max_steps)
        if error is not None:
            message = str(error).partition("\n")[0][:200]
            how = f"{type(error).__name__}: {message}" if message else type(error).__name__
            return f"ended after {done:,} of {most:,} steps with {how}"
        if not told:
            return f"ended after {done:,} of {most:,} steps; why, its trainer does not say"
        return f"all {done:,} steps done" if done >= most else f"stopped after {done:,} of {most:,} steps"


def _of_training(report: TrainingReport) -> tuple[str, ...]:
    """How a record of a training differs from one of `verify`."""
    watched = report.watched
    notes = ["Seen in a training by LoraPlanCallback; the cache is that of its own order of batches"]
    if watched.shortest is not None and watched.largest is not None and watched.shortest != watched.largest:
        notes.append(
            f"Micro-batches of {watched.shortest.tokens:,} to {watched.largest.tokens:,} tokens; the run is that of "
            "the largest"
        )
    if report.ranks > 1:
        notes.append(f"One rank of {report.ranks}")
    return tuple(notes)


def _miscounted(planned: Plan | None, parameters: Parameters) -> tuple[str, ...]:
    if planned is None or planned.parameters == parameters:
        return ()
    return (
        f"the plan counts {planned.parameters.trainable:,} trainable of {planned.parameters.total:,} parameters, and "
        f"the model has {parameters.trainable:,} of {parameters.total:,}: they are not the same run",
    )


def _layers(run: TrainingRun) -> int:
    try:
        return resolve(run.model)[1].num_layers
    except (InputError, Abstention):
        return 0


def _last_loss(state: Any) -> float | None:
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    return float(losses[-1]) if losses and not math.isnan(losses[-1]) else None

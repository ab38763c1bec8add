"""`LoraPlanCallback`: reconciles a plan with a real training of transformers' or TRL's `Trainer`."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportIncompatibleMethodOverride=false, reportMissingTypeStubs=false

from __future__ import annotations

import atexit
import functools
import logging
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from planner.catalogue import Gpu, find_gpu
from planner.errors import InputError
from planner.run import TrainingRun
from profiler.measure.types import Measurement
from profiler.training.report import TrainingReport
from profiler.training.session import Session
from profiler.training.training import STEADY
from profiler.whole_file import whole_file
from reports.cost_report.document import MARK
from reports.training import training_document

_log = logging.getLogger("lora_plan")

Keep = Callable[[Measurement], object]


class LoraPlanWarning(UserWarning):
    """What a training's user should know: batches that will not fit, or that lora-plan itself could not go on."""


def _never_raising(event: Callable[..., None]) -> Callable[..., None]:
    """An event that ends in a warning where it fails: a training is not to end for what watches it."""

    @functools.wraps(event)
    def guarded(self: LoraPlanCallback, *args: Any, **kwargs: Any) -> None:
        if self.broken:
            return
        try:
            event(self, *args, **kwargs)
        except Exception as error:
            self.give_up(error)

    return guarded


class LoraPlanCallback(TrainerCallback):
    """Plans the training as it begins, checks the plan after step 2, and writes a report and a record at its end.

    `Trainer(..., callbacks=[LoraPlanCallback()])`. After step 2, when the optimizer's states exist, it warns
    (`LoraPlanWarning`) if the longest batch that is to come will not fit. It adds no synchronization; the peaks of
    torch's memory statistics begin anew once, as step 2 begins. Nothing that fails in it raises: it is one warning, and
    the training goes on.

    `Trainer` does not tell callbacks of an exception that ends a training. The report is then written when the process
    ends, or by `finish`.
    """

    def __init__(
        self,
        run: TrainingRun | None = None,
        *,
        report: str | Path | None = "lora_plan_report.md",
        records: bool | Keep = True,
        gpu: Gpu | str | None = None,
    ) -> None:
        """run: the run; None: derived from the trainer's arguments, model and PEFT config. report: the Markdown file to
        write; None: none. records: whether to keep the measurement among the user's records, or what to do with it
        instead. gpu: the card to plan for in place of the one at hand, by its name or as a `Gpu`. Raises `InputError`
        for a name that is no card's.
        """
        self.broken = False
        """Whether it has given up."""
        self.warning: str | None = None
        """What was said of batches that will not fit."""
        self.result: TrainingReport | None = None
        """What was written of the last training that has ended."""
        self._run = run
        self._gpu = find_gpu(gpu).gpu if isinstance(gpu, str) else gpu
        self._report = None if report is None else Path(report).absolute()
        self._records = records
        self._session: Session | None = None

    @_never_raising
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # a training that fails and is begun anew (auto_find_batch_size) has not ended
        self._end(_last_error(), told=False)
        if not state.is_world_process_zero:
            return
        self._session = Session(
            args, state, kwargs["model"], kwargs["optimizer"], kwargs["train_dataloader"], run=self._run, gpu=self._gpu
        )
        atexit.register(self._at_exit)

    @_never_raising
    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._session is not None:
            self._session.watch.step_begins()

    @_never_raising
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._session is not None:
            self._session.batches_seen()
            self._session.watch.update_begins()

    @_never_raising
    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._session is not None:
            self._session.watch.updated(kwargs["model"], kwargs["optimizer"])

    @_never_raising
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._session is None:
            return
        self._session.watch.step_ends()
        if self._session.watch.steps == STEADY:
            self.warning = self._session.check()
            if self.warning is not None:
                _warn(f"lora-plan: {self.warning}")

    @_never_raising
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end(None, told=True)

    def finish(self, error: BaseException | None = None) -> None:
        """Write report and record of a training that an exception has ended; nothing where none is under way."""
        _never_raising(LoraPlanCallback._end)(self, error, told=False)

    def give_up(self, error: Exception) -> None:
        """Watch no longer, and say why."""
        self.broken = True
        if self._session is not None:
            self._session.close()
            self._session = None
            atexit.unregister(self._at_exit)
        what = " ".join(str(error).split())[:200]
        _warn(f"lora-plan does not watch this training any more ({type(error).__name__}: {what}); it goes on without")

    def _at_exit(self) -> None:
        self.finish(_last_error())

    def _end(self, error: BaseException | None, *, told: bool) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        atexit.unregister(self._at_exit)
        try:
            report, measured = session.end(error, told=told)
            self.result = replace(report, record=self._keep(measured, report))
            self._write(_markdown(self.result, measured))
        finally:
            session.close()

    def _keep(self, measured: Measurement | None, report: TrainingReport) -> str:
        """Keeps the measurement as a record; gives a sentence on what became of it."""
        if measured is None:
            on_cpu = report.device is not None and report.device.kind == "cpu"
            if on_cpu:
                return "No record is kept: on a CPU torch counts no memory, so there is no peak to keep."
            return "No record is kept: what was seen of the training makes none."
        if self._records is False:
            return "No record is kept, as was asked for."
        try:
            kept = _store(measured) if self._records is True else self._records(measured)
        except InputError as error:
            return f"No record is kept: {error}."
        return f"The record is {kept}." if isinstance(kept, str) else "The record was handed on."

    def _write(self, text: str) -> None:
        path = self._report
        if path is None:
            return
        if path.exists():
            with path.open("rb") as file:
                if file.read(len(MARK)) != MARK.encode():
                    _warn(f"lora-plan: {path} is no report of lora-plan and stays as it is; name another with report=")
                    return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                file.write(text.encode())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            _warn(f"lora-plan: the report {path} cannot be written ({reason}); name another file with report=")


def _markdown(report: TrainingReport, measured: Measurement | None) -> str:
    from lora_plan import __version__
    from lora_plan.report_files import markdown_text
    from lora_plan.today import today

    document = training_document(report, measured, day=today(), version=__version__)
    return markdown_text(document, lambda _: None)


def _store(measured: Measurement) -> str:
    from profiler.records.store import keep

    return keep(measured).id


def _last_error() -> BaseException | None:
    """The last exception that nobody caught, where it came out of a `Trainer`."""
    error: BaseException | None = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    frames = traceback.walk_tb(error.__traceback__ if error is not None else None)
    return error if any(frame.f_globals.get("__name__") == "transformers.trainer" for frame, _ in frames) else None


def _warn(message: str) -> None:
    try:
        warnings.warn(message, LoraPlanWarning, stacklevel=2)
    except Warning:  # where warnings are errors; even then the training goes on
        _log.warning("%s", message)

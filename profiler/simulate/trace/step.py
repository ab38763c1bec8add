"""The forward and backward passes of a training step, in `Trainer`'s order, with the tracker watching."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch
from torch import nn

from planner.run import TrainingRun
from planner.trainers import TRAINERS, has_kv_cache
from profiler.simulate.build.older_attention import older_cache
from profiler.simulate.build.versions import done_by
from profiler.simulate.device.backend import NAME
from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.trace import (
    AFTER,
    BASE_WEIGHTS,
    EMBED,
    EVALUATION,
    FORWARD,
    LOAD,
    LOSS,
    LOSS_BACKWARD,
    SAVED,
    TEMPORARY,
    ZERO_GRAD,
    Window,
)
from profiler.simulate.trace.tracker import Tracker

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}

PREPARED = 30
"""The `part` of the load window in which a trainer, or an older release, makes of the model what it trains."""


def trace_passes(
    model: nn.Module,
    run: TrainingRun,
    marks: Marks,
    tracker: Tracker,
    preparations: Sequence[Callable[[Any], None]] = (),
) -> None:
    """Forward, loss and backward of one micro-batch; of a second one where gradients accumulate; and evaluation.

    The model and its batch hold fake tensors, and the fake mode and the tracker are active. preparations: applied to
    the loaded model, PEFT around it, before the first step.
    """
    if preparations:
        tracker.enter(Window(LOAD, None, PREPARED), BASE_WEIGHTS)
        for change in preparations:
            change(model)
    model.train()
    micro_batches = 2 if run.gradient_accumulation_steps > 1 else 1
    kept: list[Any] = []
    with collector_off():
        for part in range(micro_batches):
            kept.append(_micro_batch(model, run, marks, tracker, part))
        if run.eval_batch_size:
            tracker.enter(Window(ZERO_GRAD))
            _evaluation(model, run, marks, tracker)
        if TRAINERS[run.trainer].keeps_outputs:
            tracker.close()


def _micro_batch(model: nn.Module, run: TrainingRun, marks: Marks, tracker: Tracker, part: int) -> Any:
    """Trace one, and return the outputs if the trainer keeps them."""
    keeps_outputs = TRAINERS[run.trainer].keeps_outputs
    model_type = str(getattr(getattr(model, "config", None), "model_type", ""))
    marks.part = part
    marks.forward()
    tracker.enter(Window(EMBED, None, part))
    batch = _batch(run, run.micro_batch_size)
    if has_kv_cache(run, model_type):
        batch |= {"use_cache": True, "past_key_values": older_cache(done_by(run))}
    with _autocast(run):
        outputs = model(**batch)
        loss = outputs.loss
        if not keeps_outputs:
            outputs = None
    del batch
    settle(tracker, part)
    tracker.enter(Window(LOSS_BACKWARD, None, part), LOSS)
    marks.backward()
    # in this thread: what the modes of a thread say does not reach autograd's own, nor do errors leave it
    with torch.autograd.set_multithreading_enabled(False):
        loss.backward()
    tracker.enter(Window(AFTER, None, part))
    del loss
    return outputs


def _evaluation(model: nn.Module, run: TrainingRun, marks: Marks, tracker: Tracker) -> None:
    model.eval()
    marks.part = EVALUATION
    marks.forward()
    tracker.enter(Window(EMBED, None, EVALUATION))
    with torch.no_grad():
        batch = _batch(run, run.eval_batch_size)
        if run.kernels == "liger":
            # without `compute_metrics`, `Trainer.prediction_step` asks for the loss alone
            batch["skip_logits"] = True
        with _autocast(run):
            loss = model(**batch).loss
    tracker.enter(Window(AFTER, None, EVALUATION))
    del batch, loss
    model.train()


def _batch(run: TrainingRun, sequences: int) -> dict[str, Any]:
    """A batch as a collator makes it: token ids, labels and an attention mask, all int64."""
    shape = (sequences, run.sequence_length)
    batch = {name: torch.empty(shape, dtype=torch.long, device=NAME) for name in ("input_ids", "labels")}
    if not run.packing:
        batch["attention_mask"] = torch.empty(shape, dtype=torch.long, device=NAME)
    return batch | {"use_cache": False}


def _autocast(run: TrainingRun) -> contextlib.AbstractContextManager[Any]:
    if run.mixed_precision == "no":
        return contextlib.nullcontext()
    return torch.autocast(NAME, AUTOCAST[run.mixed_precision])


def settle(tracker: Tracker, part: int) -> None:
    """Name what the forward pass has kept: it is all there is until the backward pass."""
    for allocation in tracker.live():
        window = tracker.trace.windows[allocation.window].window
        if window.part == part and window.phase in (EMBED, FORWARD) and allocation.component == TEMPORARY:
            allocation.component = SAVED


@contextlib.contextmanager
def collector_off() -> Generator[None]:
    # a collection at an arbitrary moment would end what cycles keep alive, and differently in each run
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""Training steps in `Trainer`'s order, with someone watching where each part begins."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any, Protocol

import torch

from planner.run import TrainingRun
from planner.trainers import TRAINERS, has_kv_cache
from profiler.measure.build import Built
from profiler.simulate.build.optimizers import make_optimizer, roles
from profiler.simulate.trace.step import AUTOCAST
from profiler.simulate.trace.trace import (
    AFTER,
    CLIP,
    EMBED,
    EVALUATION,
    LOSS,
    LOSS_BACKWARD,
    OPTIMIZER,
    TEMPORARY,
    ZERO_GRAD,
    Window,
)


class Watcher(Protocol):
    """Told where a step is."""

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """A window begins. Windows of layers are the watcher's own affair."""
        ...

    def settle(self, part: int) -> None:
        """A forward pass of the micro-batch has ended: what is alive of it has been saved for the backward pass."""
        ...


class Trainer:
    """One model being trained on batches of the run's longest length, as `transformers.Trainer` trains it.

    The optimizer is made at once, as `Trainer` does it before its first step. empty_cache: called between steps where
    the run does that.
    """

    def __init__(
        self, built: Built, run: TrainingRun, device: Any, empty_cache: Callable[[], None] = lambda: None
    ) -> None:
        self.loss: float | None = None
        """Of the last micro-batch, once `read_loss` has been called."""
        self.finite = True
        """Whether every loss so far was."""
        self._model = built.model
        self._run = run
        self._device = device
        self._empty_cache = empty_cache
        self._loop = TRAINERS[run.trainer]
        self._use_cache = has_kv_cache(run, built.model.config.model_type)
        named = list(built.model.named_parameters())
        self._parameters = [parameter for _, parameter in named if parameter.requires_grad]
        self.optimizer = make_optimizer(run, named, roles(built.model))
        # with fp16, accelerate scales the loss
        self._scaler = torch.amp.GradScaler(device.type) if run.mixed_precision == "fp16" else None  # pyright: ignore
        self._kept: Any = None
        self._last: torch.Tensor | None = None

    def step(self, watcher: Watcher) -> None:
        """One optimizer step: its micro-batches, clipping, the update and `zero_grad`."""
        if self._loop.zero_grad_first:
            self._model.zero_grad()
        for part in range(self._run.gradient_accumulation_steps):
            self._micro_batch(watcher, min(part, 1))
        watcher.enter(Window(CLIP))
        if self._scaler is not None:
            self._scaler.unscale_(self.optimizer)
        # without clipping `Trainer` asks for the norm alone
        torch.nn.utils.clip_grad_norm_(self._parameters, self._run.max_grad_norm or math.inf)
        watcher.enter(Window(OPTIMIZER))
        if self._scaler is not None:
            self._scaler.step(self.optimizer)
            self._scaler.update()
        else:
            self.optimizer.step()
        watcher.enter(Window(ZERO_GRAD))
        if not self._loop.zero_grad_first:
            self._model.zero_grad()
        if self._run.empty_cache:
            self._empty_cache()

    def evaluate(self, watcher: Watcher) -> None:
        """One evaluation pass, where the run has them."""
        self._model.eval()
        watcher.enter(Window(EMBED, None, EVALUATION))
        with torch.no_grad():
            batch = self._batch(self._run.eval_batch_size)
            if self._run.kernels == "liger":
                # without `compute_metrics`, `Trainer.prediction_step` asks for the loss alone
                batch["skip_logits"] = True
            with self._autocast():
                loss = self._model(**batch).loss
        watcher.enter(Window(AFTER, None, EVALUATION))
        del batch, loss
        self._model.train()

    def read_loss(self) -> float | None:
        """The last loss as a number, which waits for the device."""
        self.loss = None if self._last is None else float(self._last)
        return self.loss

    def _micro_batch(self, watcher: Watcher, part: int) -> None:
        watcher.enter(Window(EMBED, None, part))
        batch = self._batch(self._run.micro_batch_size)
        with self._autocast():
            outputs = self._model(**batch)
            loss = outputs.loss
        if self._loop.keeps_outputs:
            self._kept = outputs
        del batch, outputs
        watcher.settle(part)
        watcher.enter(Window(LOSS_BACKWARD, None, part), LOSS)
        if self._scaler is not None:
            self._scaler.scale(loss).backward()
        else:
            loss.backward()
        watcher.enter(Window(AFTER, None, part))
        last = self._last = loss.detach()
        # `Trainer` looks whether the loss is finite, which waits for the device (`logging_nan_inf_filter`)
        self.finite = self.finite and not (torch.isnan(last) or torch.isinf(last))

    def _batch(self, sequences: int) -> dict[str, Any]:
        """Random tokens, as long as the longest batch; a padded one has padding in all but one of its sequences."""
        run = self._run
        shape = (sequences, run.sequence_length)
        vocabulary = self._model.config.get_text_config().vocab_size
        tokens = torch.randint(vocabulary, shape, device=self._device)
        batch: dict[str, Any] = {"input_ids": tokens, "labels": tokens.clone(), "use_cache": self._use_cache}
        if not run.packing:
            batch["attention_mask"] = torch.ones(shape, dtype=torch.long, device=self._device)
            if sequences > 1:
                batch["attention_mask"][1:, -1] = 0
        return batch

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        if self._run.mixed_precision == "no":
            return contextlib.nullcontext()
        return torch.autocast(self._device.type, AUTOCAST[self._run.mixed_precision])

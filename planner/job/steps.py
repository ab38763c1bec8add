"""How many optimizer steps an epoch has, as transformers' `Trainer` counts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planner.job.job import Job
from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a run, and what they are made of."""

    per_epoch: int
    """Optimizer steps."""

    micro_batches_per_epoch: int
    """Batches of each GPU: the length of its dataloader."""

    total: int
    """Optimizer steps of all epochs."""

    micro_batches: int
    """Of each GPU in all epochs; the last step of an epoch may have fewer than the others."""

    @property
    def epochs(self) -> float:
        """Times that every example is seen."""
        return self.micro_batches / self.micro_batches_per_epoch


def count_steps(rows: int, run: TrainingRun, job: Job) -> Steps:
    """The steps of training on `rows` rows.

    `Trainer.set_initial_training_values` (transformers 5.23): the dataloader keeps a last batch that is not full
    (`dataloader_drop_last=False`), accelerate deals batches to the GPUs in turn and rounds up, an epoch's last step
    takes the micro-batches that are left, and a part of an epoch is rounded up to whole steps.
    """
    accumulated = run.gradient_accumulation_steps
    batches = _up(_up(rows, run.micro_batch_size), run.num_gpus)
    per_epoch = _up(batches, accumulated)
    total = job.max_steps or math.ceil(job.epochs * per_epoch)
    whole, left = divmod(total, per_epoch)
    return Steps(per_epoch, batches, total, whole * batches + min(left * accumulated, batches))


def _up(count: int, by: int) -> int:
    return -(-count // by)

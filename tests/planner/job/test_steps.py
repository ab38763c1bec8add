"""Steps, against transformers' Trainer and accelerate's samplers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import BatchSamplerShard
from torch.utils.data import BatchSampler, Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from planner.job import Job, job_time
from planner.job.steps import count_steps
from planner.run import TrainingRun
from tests.planner.job.test_job_time import FOOTPRINT, seconds_per_token


def run_of(batch: int, accumulation: int, gpus: int = 1) -> TrainingRun:
    return TrainingRun(
        model="gpt2", micro_batch_size=batch, gradient_accumulation_steps=accumulation, num_gpus=gpus, sequence_length=8
    )


class Numbers(Dataset[dict[str, torch.Tensor]]):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([float(index)])}


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.passes = 0

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        self.passes += self.training
        return {"loss": self.layer(x).mean()}


class Events(TrainerCallback):
    def __init__(self) -> None:
        self.evaluations = self.saves = 0

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        self.evaluations += 1

    def on_save(self, *_: Any, **__: Any) -> None:
        self.saves += 1


@pytest.mark.parametrize(
    ("examples", "batch", "accumulation", "epochs", "max_steps"),
    [
        (16, 4, 1, 1, None),
        (17, 4, 1, 2, None),
        (17, 2, 4, 3, None),
        (17, 4, 2, 1.4, None),
        (5, 8, 4, 2.5, None),
        (23, 3, 2, 0.3, None),
        (20, 2, 3, 1, 6),
        (20, 2, 3, 9, 2),
    ],
)
def test_the_trainer_takes_as_many_steps_and_batches(
    tmp_path: Path, examples: int, batch: int, accumulation: int, epochs: float, max_steps: int | None
) -> None:
    model, events = Line(), Events()
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        use_cpu=True,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=epochs,
        max_steps=max_steps or -1,
        save_steps=3,
        eval_strategy="epoch",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=Numbers(examples), eval_dataset=Numbers(2), callbacks=[events])
    trainer.train()
    job = Job(examples=examples, epochs=epochs, max_steps=max_steps, save_steps=3)
    steps = count_steps(examples, run_of(batch, accumulation), job)
    assert steps.total == trainer.state.global_step
    assert steps.micro_batches == model.passes
    assert steps.epochs == pytest.approx(trainer.state.epoch, rel=1e-3)
    # what the time of a job takes for evaluations and checkpoints
    assert math.ceil(steps.epochs) == events.evaluations
    time = job_time(run_of(batch, accumulation), job, seconds_per_token, FOOTPRINT)
    assert time.part("checkpoints").text.startswith(f"{events.saves} of ")


@pytest.mark.parametrize("examples", [1, 7, 16, 17, 33])
@pytest.mark.parametrize("gpus", [2, 3])
def test_every_gpu_has_as_many_batches_as_accelerate_deals_it(examples: int, gpus: int) -> None:
    batches = BatchSampler(SequentialSampler(range(examples)), batch_size=4, drop_last=False)
    shards = [BatchSamplerShard(batches, gpus, index) for index in range(gpus)]
    steps = count_steps(examples, run_of(4, 2, gpus), Job(examples=examples))
    assert {len(list(shard)) for shard in shards} == {steps.micro_batches_per_epoch}

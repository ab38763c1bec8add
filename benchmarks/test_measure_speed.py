"""What measuring adds to the time of a step: `python -m pytest benchmarks`. The same steps without it, and with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from planner.plan import loaded_config
from planner.run import TrainingRun
from profiler.measure.build import build
from profiler.measure.device.cpu import Cpu
from profiler.measure.device.sampler import Sampler, reader
from profiler.measure.steps import Trainer
from profiler.measure.timed import Timer
from profiler.simulate.trace.trace import TEMPORARY, Window

STEPS = 10
CONFIG = {
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 8,
    "num_attention_heads": 4,
    "vocab_size": 4096,
}


class Nobody:
    """A `Watcher` that does not look."""

    def enter(self, window: Window, component: str = TEMPORARY) -> None: ...

    def settle(self, part: int) -> None: ...


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """Past its first step."""
    config = tmp_path_factory.mktemp("model") / "config.json"
    config.write_text(json.dumps(CONFIG))
    run = TrainingRun(model=str(config), sequence_length=256, micro_batch_size=2)
    device = torch.device("cpu")
    trainer = Trainer(build(run, loaded_config(run.model), device), run, device)
    trainer.step(Nobody())
    return trainer


def alone(trainer: Trainer) -> Callable[[], None]:
    """Steps, with nobody watching."""

    def steps() -> None:
        for _ in range(STEPS):
            trainer.step(Nobody())

    return steps


def measured(trainer: Trainer) -> Callable[[], None]:
    """Steps as `verify` times them: marks at their parts, and a thread that samples."""
    device = Cpu()
    timer = Timer(device)

    def steps() -> None:
        with Sampler(reader(device.card())) as sampler, sampler.timed():
            for _ in range(STEPS):
                timer.begin()
                trainer.step(timer)
                timer.end()

    return steps


def test_steps_alone(benchmark: Any, trainer: Trainer) -> None:
    benchmark.pedantic(alone(trainer), rounds=5, warmup_rounds=1)


def test_steps_measured(benchmark: Any, trainer: Trainer) -> None:
    benchmark.pedantic(measured(trainer), rounds=5, warmup_rounds=1)

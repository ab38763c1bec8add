"""How long one plan takes once a model and a kind of run are known: `python -m pytest benchmarks`."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest

from planner.catalogue import find_gpu
from planner.plan import plan
from planner.run import TrainingRun

GPU = find_gpu("a100-80").gpu


@pytest.mark.parametrize("model", ["llama-3.1-8b", "meta-llama/Llama-3.1-70B"])
def test_a_plan_of_a_known_kind_of_run(benchmark: Any, model: str) -> None:
    """Each round plans another batch and sequence length, so that no whole plan is ever seen twice in a row."""
    runs = cycle(
        TrainingRun(model=model, method="qlora", micro_batch_size=batch, sequence_length=length)
        for batch in (1, 2, 4, 8)
        for length in (512, 1024, 2048, 4096)
    )
    plan(next(runs), GPU)
    for _ in range(16):
        plan(next(runs), GPU)
    assert benchmark(lambda: plan(next(runs), GPU)).verdict is not None

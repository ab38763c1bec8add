"""Figures besides the steps."""

from __future__ import annotations

import pytest

from planner.job.fixed_costs import Range, forward_share, seconds
from planner.run import TrainingRun


@pytest.mark.parametrize(
    ("method", "checkpointing", "share"),
    [("full", False, 2 / 6), ("full", True, 2 / 8), ("lora", False, 2 / 4), ("qlora", True, 2 / 6)],
)
def test_the_forward_pass_by_flops(method: str, checkpointing: bool, share: float) -> None:
    """The design's 4 FLOP per parameter and token of LoRA, 6 with checkpointing, against 6 and 8."""
    assert forward_share(TrainingRun(model="gpt2", method=method, gradient_checkpointing=checkpointing)) == share


def test_a_slow_rate_takes_longest() -> None:
    assert seconds(100, Range(10, 20, 50)) == Range(2, 5, 10)

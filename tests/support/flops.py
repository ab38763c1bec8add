"""The independent source of FLOPs: PyTorch's own counter around a real training step on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from planner.run import TrainingRun
from tests.support.families import ready_to_train


def _grouped_mm(a: tuple[int, ...], b: tuple[int, ...], *_: Any, **__: Any) -> int:
    """`torch._grouped_mm`, which the counter does not know: rows of experts, or sums over the rows of each."""
    assert len(a) == 2 and len(b) in (2, 3)
    return 2 * a[0] * a[1] * b[-1]


def real_flops(config: dict[str, Any], run: TrainingRun, *, peft: Any = None) -> int:
    """FLOPs of matrix products in one forward and backward pass of transformers' own model of a config.

    The counter knows no fused attention kernel of the CPU: the run's attention has to be eager.
    """
    assert run.attention == "eager"
    with ready_to_train(config, run, peft) as model:
        model.train()
        ids = torch.randint(0, 8, (run.micro_batch_size, run.sequence_length))
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten._grouped_mm: _grouped_mm})
        with counter:
            model(input_ids=ids, labels=ids).loss.backward()
    return counter.get_total_flops()

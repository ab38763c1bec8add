"""The independent source of FLOPs: PyTorch's own counter around a real training step on the CPU."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from planner.run import TrainingRun
from tests.support.families import model_of


def _grouped_mm(a: tuple[int, ...], b: tuple[int, ...], *_: Any, **__: Any) -> int:
    """`torch._grouped_mm`, which the counter does not know: rows of experts, or sums over the rows of each."""
    assert len(a) == 2 and len(b) in (2, 3)
    return 2 * a[0] * a[1] * b[-1]


def real_flops(config: dict[str, Any], run: TrainingRun, *, peft: Any = None) -> int:
    """FLOPs of matrix products in one forward and backward pass of transformers' own model of a config.

    The counter knows no fused attention kernel of the CPU: the run's attention has to be eager.
    """
    assert run.attention == "eager"
    torch.manual_seed(0)
    model = model_of(config, attention="eager", dtype=run.base_dtype)
    model.config.use_cache = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", r"The following (rank|alpha)_pattern keys", RuntimeWarning)
        if run.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": run.use_reentrant})
        if peft is not None:
            from peft import get_peft_model

            model = get_peft_model(model, peft)
            if run.gradient_checkpointing:
                model.enable_input_require_grads()
        model.train()
        ids = torch.randint(0, 8, (run.micro_batch_size, run.sequence_length))
        counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten._grouped_mm: _grouped_mm})
        with counter:
            model(input_ids=ids, labels=ids).loss.backward()
    return counter.get_total_flops()

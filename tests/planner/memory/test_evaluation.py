"""An evaluation pass, against a real one on CPU tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from planner.memory.evaluation import profile_evaluation
from planner.run import TrainingRun
from tests.planner.architecture.families.test_gemma2 import TINY as GEMMA2
from tests.planner.architecture.families.test_llama import TINY as LLAMA
from tests.support.families import architecture_of, model_of
from tests.support.live_bytes import LiveBytes

BATCH, SEQUENCE = 4, 48
LABELS = 8 * BATCH * (SEQUENCE + 1) + 8 * BATCH * SEQUENCE
"""Labels padded by one, and shifted: copies that are not planned."""


def measured(config: dict[str, Any], attention: str) -> int:
    model = model_of(config, attention=attention, dtype="bfloat16").eval()
    model.config.use_cache = False
    ids = torch.zeros(BATCH, SEQUENCE, dtype=torch.long)
    inputs = {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}
    live = LiveBytes([*model.parameters(), *model.buffers(), *inputs.values()])
    with live, torch.no_grad():
        model(**inputs)
    return live.peak


@pytest.mark.parametrize("vocabulary", [512, 8])
@pytest.mark.parametrize("config", [LLAMA, GEMMA2], ids=["llama", "gemma2 with its windows"])
def test_the_peak_of_an_evaluation_pass(config: dict[str, Any], vocabulary: int) -> None:
    config = config | {"vocab_size": vocabulary}
    run = TrainingRun(
        model="tiny",
        method="full",
        mixed_precision="no",
        attention="eager",
        sequence_length=SEQUENCE,
        eval_batch_size=BATCH,
    )
    predicted = max(size.at(BATCH, SEQUENCE) for size, _ in profile_evaluation(architecture_of(config), run))
    assert predicted == pytest.approx(measured(config, "eager"), abs=LABELS + 1024)

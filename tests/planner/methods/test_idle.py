"""What a batch of text does not reach, against the gradients of a real backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from planner.methods.counting import trainable
from planner.run import TrainingRun
from tests.planner.architecture.families.test_gemma3 import MULTIMODAL as GEMMA3
from tests.planner.architecture.families.test_llama4 import MULTIMODAL as LLAMA4
from tests.planner.architecture.families.test_mllama import TEXT, VISION
from tests.support.families import architecture_of, model_of

MLLAMA: dict[str, Any] = {"model_type": "mllama", "text_config": TEXT, "vision_config": VISION}


@pytest.mark.parametrize("config", [GEMMA3, LLAMA4, MLLAMA], ids=lambda config: config["model_type"])
def test_only_what_text_reaches_gets_gradients(config: dict[str, Any]) -> None:
    model = model_of(config, attention="eager").train()
    ids = torch.zeros(1, 8, dtype=torch.long)
    model(input_ids=ids, labels=ids, attention_mask=torch.ones_like(ids)).loss.backward()
    reached = sum(parameter.numel() for parameter in model.parameters() if parameter.grad is not None)
    run = TrainingRun(model="tiny", method="full", base_dtype="float32", mixed_precision="no")
    found = trainable(architecture_of(config), run)
    assert found.gradient_bytes == 4 * reached
    assert sum(tensor.elements * tensor.count for tensor in found.tensors) == reached
    assert found.trainable == sum(parameter.numel() for parameter in model.parameters()) > reached

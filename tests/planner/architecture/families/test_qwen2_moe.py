"""Qwen 2 MoE's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {
    "model_type": "qwen2_moe",
    "moe_intermediate_size": 48,
    "shared_expert_intermediate_size": 96,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"qkv_bias": False},
        {"mlp_only_layers": [1]},
        {"decoder_sparse_step": 2},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


def test_step_peak_of_alternating_windows() -> None:
    """With `use_sliding_window` every other layer slides: both masks are made once the window is reached."""
    window = {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 4}
    run = RUNS["full bfloat16"].replace(sequence_length=48)
    assert_same_peak(TINY | window | {"vocab_size": 8}, run)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_key_value_heads": 3}, "multiple"),
        ({"num_experts_per_tok": 9}, "more than its 8 experts"),
        ({"shared_expert_intermediate_size": 0}, "shared_expert_intermediate_size"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

"""GPT-OSS's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {
    "model_type": "gpt_oss",
    "head_dim": 16,
    "intermediate_size": 48,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
    "rope_parameters": {"rope_type": "default", "rope_theta": 150000.0},
}
EAGER = {name: run.replace(attention="eager") for name, run in RUNS.items() if "eager" not in name}
"""Its attention sinks have no SDPA implementation."""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"attention_bias": False},
        {"head_dim": 32},
        {"layer_types": ["full_attention"] * 4},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", EAGER.values(), ids=EAGER)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


def test_sdpa_is_said_to_be_out_of_reach() -> None:
    assert architecture_of(TINY).attention == ("eager",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_key_value_heads": 3}, "multiple"),
        ({"num_experts_per_tok": 9}, "more than its 8 experts"),
        ({"sliding_window": None}, "sliding window"),
        ({"layer_types": ["full_attention"]}, "layer_types"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

"""Mistral's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {"model_type": "mistral"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sliding_window": None},
        {"head_dim": 32},
        {"tie_word_embeddings": True},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_step_peak_of_sequences_beyond_the_window(checkpointing: bool) -> None:
    """SDPA then gets a mask, which it saves as an additive one in every layer, and repeated k and v."""
    run = RUNS["full bfloat16"].replace(sequence_length=48, gradient_checkpointing=checkpointing)
    assert_same_peak(TINY | {"sliding_window": 16}, run)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"num_key_value_heads": 3}, "multiple"),
        ({"sliding_window": 0}, "sliding_window"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

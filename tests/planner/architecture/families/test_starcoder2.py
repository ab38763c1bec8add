"""StarCoder 2's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {"model_type": "starcoder2"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"use_bias": False},
        {"sliding_window": 16},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak_with_dropout(run: TrainingRun) -> None:
    # attention_dropout stays 0: with it SDPA falls back to another kernel on the CPU, not on CUDA
    assert_same_peak(TINY | {"embedding_dropout": 0.1, "residual_dropout": 0.1}, run)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"num_key_value_heads": 3}, "multiple"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

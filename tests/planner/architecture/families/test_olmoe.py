"""OLMoE's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {
    "model_type": "olmoe",
    "intermediate_size": 48,
    "num_experts": 8,
    "num_experts_per_tok": 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"attention_bias": True},
        {"num_key_value_heads": None},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


def test_clipping_in_place_is_not_covered() -> None:
    clipped = architecture_of(TINY | {"clip_qkv": 8.0})
    assert clipped.program is None
    assert "clip_qkv" in clipped.no_program_reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_key_value_heads": 3}, "multiple"),
        ({"num_experts_per_tok": 9}, "more than its 8 experts"),
        ({"hidden_size": 66}, "multiple"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

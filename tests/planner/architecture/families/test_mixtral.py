"""Mixtral's modules and its step, against transformers and a real step.

The routing of a real step is whatever its random weights make it; the memory does not depend on it.
"""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {
    "model_type": "mixtral",
    "intermediate_size": 96,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"head_dim": 32},
        {"num_local_experts": 8, "num_experts_per_tok": 3},
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


def test_what_the_router_adds_in_training_is_not_covered() -> None:
    jitter = architecture_of(TINY | {"router_jitter_noise": 0.1})
    balancing = architecture_of(TINY | {"output_router_logits": True})
    assert jitter.program is None
    assert "router_jitter_noise" in jitter.no_program_reason
    assert balancing.program is None
    assert "load-balancing" in balancing.no_program_reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"intermediate_size": None}, "no 'intermediate_size'"),
        ({"num_key_value_heads": 3}, "multiple"),
        ({"num_experts_per_tok": 5}, "more than its 4 experts"),
        ({"num_local_experts": 0}, "num_local_experts"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

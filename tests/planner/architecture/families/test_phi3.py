"""Phi-3's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import SEQUENCE, architecture_of, assert_same_parameters, predicted_peak
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak, measured

TINY: dict[str, Any] = {
    "model_type": "phi3",
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "original_max_position_embeddings": 256,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"num_key_value_heads": 4}, {"partial_rotary_factor": 0.75}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("run", ["full bfloat16", "lora bfloat16 checkpointed"])
def test_step_peak_of_a_partial_rotary_embedding_with_dropout(run: str) -> None:
    assert_same_peak(TINY | {"partial_rotary_factor": 0.75, "resid_pdrop": 0.1}, RUNS[run])


def test_step_peak_beyond_the_sliding_window() -> None:
    """SDPA then gets a mask, and with it the memory-efficient kernel, which lays its result out token by token."""
    config = TINY | {"sliding_window": 16}
    run = RUNS["full bfloat16"].replace(sequence_length=SEQUENCE)
    assert predicted_peak(config, run) == pytest.approx(measured(config, run), rel=0.003)


@pytest.mark.parametrize(
    "changes",
    [{"num_attention_heads": 5}, {"num_key_value_heads": 3}, {"hidden_size": None}, {"hidden_act": 1}],
    ids=str,
)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

"""GPT-NeoX's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = {
    "model_type": "gpt_neox",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"attention_bias": False}, {"rotary_pct": 1.0}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("run", ["full bfloat16", "lora bfloat16 checkpointed"])
def test_step_peak_of_serial_blocks_with_dropout(run: str) -> None:
    assert_same_peak(TINY | {"use_parallel_residual": False, "hidden_dropout": 0.1, "rotary_pct": 1.0}, RUNS[run])


@pytest.mark.parametrize(
    "changes",
    [{"num_attention_heads": 5}, {"num_attention_heads": 0}, {"hidden_size": None}, {"rotary_pct": 0.0}],
    ids=str,
)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

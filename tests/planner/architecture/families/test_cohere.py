"""Cohere's and Cohere 2's modules and steps, against transformers and real steps."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import BATCH, SEQUENCE, architecture_of, assert_same_parameters, predicted_peak
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak, measured

TINY: dict[str, Any] = DECODER | {"model_type": "cohere"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"attention_bias": True},
        {"use_qk_norm": True},
        {"model_type": "cohere2"},
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
def test_step_peak_with_norms_on_q_and_k(run: TrainingRun) -> None:
    assert_same_peak(TINY | {"use_qk_norm": True}, run)


@pytest.mark.parametrize("run", [run for run in RUNS.values() if not run.gradient_checkpointing], ids=str)
def test_step_peak_with_sliding_layers(run: TrainingRun) -> None:
    assert_same_peak(TINY | {"model_type": "cohere2"}, run)


@pytest.mark.parametrize("run", [run for run in RUNS.values() if run.gradient_checkpointing], ids=str)
def test_checkpointed_sliding_layers_are_over_by_one_mask_at_most(run: TrainingRun) -> None:
    """The mask of a kind of layer is planned to stay to the end; it goes with its first layer."""
    config = TINY | {"model_type": "cohere2"}
    element = 4 if run.base_dtype == "float32" else 2
    mask = BATCH * SEQUENCE**2 * element
    over = predicted_peak(config, run) - measured(config, run)
    positions = SEQUENCE * 8 + 8
    assert -positions <= over <= mask


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

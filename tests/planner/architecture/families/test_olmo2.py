"""OLMo 2's and 3's modules and steps, against transformers and real steps."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import BATCH, SEQUENCE, architecture_of, assert_same_parameters, predicted_peak
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak, measured

TINY: dict[str, Any] = DECODER | {"model_type": "olmo2"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"attention_bias": True},
        {"model_type": "olmo3"},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=VOCABULARIES)
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("run", [run for run in RUNS.values() if not run.gradient_checkpointing], ids=str)
def test_step_peak_with_sliding_layers(run: TrainingRun) -> None:
    assert_same_peak(TINY | {"model_type": "olmo3"}, run)


@pytest.mark.parametrize("run", [run for run in RUNS.values() if run.gradient_checkpointing], ids=str)
def test_checkpointed_sliding_layers_are_over_by_one_mask_at_most(run: TrainingRun) -> None:
    """Mask and tables of a kind of layer are planned to stay to the end; they go with its first layer."""
    config = TINY | {"model_type": "olmo3"}
    element = 4 if run.base_dtype == "float32" else 2
    mask = BATCH * SEQUENCE**2 * element + 2 * SEQUENCE * 16 * 4
    over = predicted_peak(config, run) - measured(config, run)
    positions = SEQUENCE * 8 + 8
    assert -positions <= over <= mask


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"hidden_size": None}, "no 'hidden_size'"),
        ({"num_key_value_heads": 3}, "multiple"),
        (
            {
                "model_type": "olmo3",
                "layer_types": ["full_attention", "full_attention", "full_attention", "chunked"],
            },
            "layer_types",
        ),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

"""GPT-J's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = {
    "model_type": "gptj",
    "n_embd": 64,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 256,
    "rotary_dim": 8,
    "vocab_size": 512,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": True}, {"n_inner": 100}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


# its code has eager attention only
EAGER = {name: run.replace(attention="eager") for name, run in RUNS.items()}


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", EAGER.values(), ids=list(EAGER))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


def test_step_peak_with_dropout() -> None:
    changes = {"resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1, "rotary_dim": 16, "vocab_size": 8}
    assert_same_peak(TINY | changes, EAGER["full bfloat16"])


@pytest.mark.parametrize("changes", [{"n_head": 5}, {"n_embd": 0}, {"rotary_dim": 32}, {"vocab_size": None}], ids=str)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

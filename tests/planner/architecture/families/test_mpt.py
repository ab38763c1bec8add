"""MPT's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = {
    "model_type": "mpt",
    "d_model": 64,
    "n_layers": 4,
    "n_heads": 4,
    "max_seq_len": 48,
    "vocab_size": 512,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": False}, {"expansion_ratio": 2}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


# its code has eager attention only
EAGER = {name: run.replace(attention="eager") for name, run in RUNS.items()}


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", EAGER.values(), ids=list(EAGER))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    # its ALiBi table, max_seq_len x heads in float32, is not planned beyond the forward pass
    assert_same_peak(TINY | {"vocab_size": vocabulary}, run)


def test_step_peak_with_dropout_and_clipping() -> None:
    changes = {"attn_config": {"clip_qkv": 6.0}, "vocab_size": 8}
    assert_same_peak(TINY | changes, EAGER["full bfloat16"])


@pytest.mark.parametrize("changes", [{"n_heads": 5}, {"d_model": 0}, {"attn_config": 3}], ids=str)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

"""Falcon's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = {
    "model_type": "falcon",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "vocab_size": 512,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False},
        {"multi_query": False, "parallel_attn": False, "bias": True, "alibi": True},
        {"new_decoder_architecture": True, "num_kv_heads": 2},
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        {"ffn_hidden_size": 100},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


GROUPED: dict[str, Any] = {"new_decoder_architecture": True, "num_attention_heads": 8, "num_kv_heads": 2}
"""As Falcon-40B and 180B are."""


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    _assert_same_peak({"vocab_size": vocabulary}, run)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak_of_grouped_heads(run: TrainingRun, vocabulary: int) -> None:
    _assert_same_peak(GROUPED | {"vocab_size": vocabulary}, run)


def _assert_same_peak(changes: dict[str, Any], run: TrainingRun) -> None:
    # nothing is padded, so its mask is one for all sequences, but planned as one for each: S * S bytes more
    assert_same_peak(TINY | changes, run, rel=0.004 if run.gradient_checkpointing else 0.003)


@pytest.mark.parametrize("run", ["full bfloat16", "lora bfloat16"])
def test_step_peak_of_serial_blocks_with_dropout(run: str) -> None:
    assert_same_peak(TINY | {"multi_query": False, "parallel_attn": False, "hidden_dropout": 0.1}, RUNS[run])


def test_alibi_is_counted_only() -> None:
    architecture = architecture_of(TINY | {"alibi": True})
    assert architecture.program is None
    assert "ALiBi" in architecture.no_program_reason


@pytest.mark.parametrize(
    "changes",
    [{"num_attention_heads": 5}, {"num_attention_heads": 0}, GROUPED | {"num_kv_heads": 3}],
    ids=str,
)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

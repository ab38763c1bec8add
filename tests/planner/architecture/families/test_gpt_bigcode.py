"""GPT-BigCode's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = {
    "model_type": "gpt_bigcode",
    "n_embd": 64,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 256,
    "vocab_size": 512,
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"tie_word_embeddings": False}, {"multi_query": False}, {"n_inner": 200}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    # on the CPU, SDPA has no fused kernel with dropout; CUDA has
    dropout = 0.1 if run.attention == "eager" else 0.0
    assert_same_peak(TINY | {"vocab_size": vocabulary, "attn_pdrop": dropout}, run)


@pytest.mark.parametrize("run", ["full bfloat16", "lora bfloat16 checkpointed"])
def test_step_peak_of_a_head_of_keys_for_every_query(run: str) -> None:
    assert_same_peak(TINY | {"multi_query": False, "activation_function": "gelu", "attn_pdrop": 0.0}, RUNS[run])


def test_prefixes_are_as_wide_as_its_one_key_head() -> None:
    assert architecture_of(TINY).kv_width == 16
    assert architecture_of(TINY | {"multi_query": False}).kv_width == 64


@pytest.mark.parametrize("changes", [{"n_head": 5}, {"n_embd": 0}, {"vocab_size": None}], ids=str)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

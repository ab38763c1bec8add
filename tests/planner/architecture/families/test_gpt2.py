"""GPT-2's modules and its step, against transformers and a real step."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import RUNS, VOCABULARIES, assert_same_peak

# dropout is on wherever the config has it, but in SDPA: the CPU has no fused kernel with dropout, CUDA has
TINY: dict[str, Any] = {
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": 256,
    "vocab_size": 512,
    "attn_pdrop": 0.0,
}


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"n_inner": 200}], ids=str)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


def test_the_smallest_model_has_124_million_parameters() -> None:
    config = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    assert architecture_of(config).parameters == 124_439_808  # openai-community/gpt2


@pytest.mark.parametrize("vocabulary", VOCABULARIES.values(), ids=list(VOCABULARIES))
@pytest.mark.parametrize("run", RUNS.values(), ids=list(RUNS))
def test_step_peak(run: TrainingRun, vocabulary: int) -> None:
    dropout = 0.1 if run.attention == "eager" else 0.0
    assert_same_peak(TINY | {"vocab_size": vocabulary, "attn_pdrop": dropout}, run)


@pytest.mark.parametrize("activation", ["gelu_fast", "quick_gelu", "relu", "gelu_pytorch_tanh", "silu"])
def test_step_peak_with_other_activations(activation: str) -> None:
    config = TINY | {"activation_function": activation, "vocab_size": 8}
    assert_same_peak(config, RUNS["full float32"])


def test_an_activation_in_no_table_leaves_the_count_alone() -> None:
    architecture = architecture_of(TINY | {"activation_function": "laplace"})
    assert architecture.program is None
    assert "laplace" in architecture.no_program_reason
    assert architecture.parameters == architecture_of(TINY).parameters


@pytest.mark.parametrize("changes", [{"n_head": 5}, {"n_head": 0}, {"n_embd": None}, {"resid_pdrop": 2.0}], ids=str)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

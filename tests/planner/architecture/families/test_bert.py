"""BERT's modules, against transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers

from planner.errors import InputError
from tests.support.families import architecture_of, shapes_of

TINY: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 512,
}


@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}, {"type_vocab_size": 3}], ids=str)
def test_parameters_are_those_of_the_masked_language_model(changes: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = transformers.BertForMaskedLM(transformers.BertConfig(**TINY | changes))
    theirs = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    architecture = architecture_of(TINY | changes)
    assert shapes_of(architecture) == theirs
    assert architecture.parameters == sum(torch.Size(shape).numel() for shape in theirs.values())


def test_an_encoder_has_no_program() -> None:
    architecture = architecture_of(TINY)
    assert architecture.program is None
    assert "encoder" in architecture.no_program_reason


@pytest.mark.parametrize("changes", [{"num_attention_heads": 5}, {"hidden_size": None}], ids=str)
def test_a_broken_config_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        architecture_of(TINY | changes)

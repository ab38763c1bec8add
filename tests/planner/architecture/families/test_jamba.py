"""Jamba's modules, against transformers. Its step is not covered."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER

TINY: dict[str, Any] = DECODER | {"model_type": "jamba", "num_hidden_layers": 8, "num_experts": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"mamba_dt_rank": "auto", "hidden_size": 72},
        {"mamba_dt_rank": 7, "mamba_conv_bias": False, "mamba_proj_bias": True},
        {"num_experts": 1, "num_experts_per_tok": 1},
        {"attn_layer_period": 3, "attn_layer_offset": 1, "expert_layer_period": 3, "expert_layer_offset": 0},
    ],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


def test_its_step_is_not_covered() -> None:
    architecture = architecture_of(TINY)
    assert architecture.program is None
    assert "selective scan" in architecture.no_program_reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"attn_layer_offset": 8}, "attn_layer_offset"),
        ({"expert_layer_period": 0}, "expert_layer_period"),
        ({"mamba_dt_rank": "half"}, "mamba_dt_rank"),
        ({"num_key_value_heads": 3}, "multiple"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

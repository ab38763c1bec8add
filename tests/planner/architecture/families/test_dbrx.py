"""DBRX's modules, against transformers. Its step is not covered."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from tests.support.families import architecture_of, assert_same_parameters

TINY: dict[str, Any] = {
    "model_type": "dbrx",
    "d_model": 64,
    "n_heads": 4,
    "n_layers": 2,
    "max_seq_len": 256,
    "vocab_size": 512,
    "attn_config": {"clip_qkv": 8, "kv_n_heads": 2, "rope_theta": 10000.0},
    "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
}


@pytest.mark.parametrize(
    "changes",
    [{}, {"ffn_config": {"ffn_hidden_size": 32}}, {"attn_config": {"kv_n_heads": 1, "rope_theta": 10000.0}}],
    ids=str,
)
def test_parameters_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(TINY | changes)


def test_its_step_is_not_covered() -> None:
    architecture = architecture_of(TINY)
    assert architecture.program is None
    assert "one by one" in architecture.no_program_reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_heads": 5}, "multiple of n_heads"),
        ({"attn_config": {"kv_n_heads": 3}}, "multiple"),
        ({"ffn_config": 7}, "ffn_config"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

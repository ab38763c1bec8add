"""DeepSeek V2's and V3's modules and their step, against transformers and a real step.

Values are as wide as keys in most steps here: where they are not, as in the published models, the CPU has no
fused kernel and takes attention apart, while CUDA's memory-efficient one takes them as they are.
"""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from tests.support.families import architecture_of, assert_same_parameters
from tests.support.steps import DECODER, RUNS, VOCABULARIES, assert_same_peak

TINY: dict[str, Any] = DECODER | {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    "moe_intermediate_size": 48,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 24,
}
V2: dict[str, Any] = TINY | {"model_type": "deepseek_v2"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"q_lora_rank": None},
        {"attention_bias": True},
        {"first_k_dense_replace": 0},
        {"v_head_dim": 16},
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
def test_step_peak_of_v2(run: TrainingRun) -> None:
    assert_same_peak(V2 | {"vocab_size": 8}, run)


@pytest.mark.parametrize(
    "config",
    [
        V2 | {"q_lora_rank": None, "mlp_bias": True},
        V2 | {"topk_method": "group_limited_greedy"},
        TINY | {"rope_interleave": False},
        TINY | {"norm_topk_prob": False},
        TINY | {"v_head_dim": 16},
    ],
    ids=["V2 without q_lora", "V2 with groups", "halves rotated", "raw weights", "narrow values"],
)
def test_eager_step_peak_of_variants(config: dict[str, Any]) -> None:
    assert_same_peak(config | {"vocab_size": 8}, RUNS["full bfloat16 eager"])


@pytest.mark.parametrize(
    "changes",
    [{}, {"q_lora_rank": None}, {"mlp_bias": True, "attention_bias": True}, {"first_k_dense_replace": 4}],
    ids=str,
)
def test_parameters_of_v2_are_those_of_transformers(changes: dict[str, Any]) -> None:
    assert_same_parameters(V2 | changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_key_value_heads": 2}, "latent attention"),
        ({"qk_rope_head_dim": 7}, "even"),
        ({"topk_group": 5}, "5 of 4 groups"),
        ({"n_group": 3}, "groups"),
        ({"model_type": "deepseek_v2", "topk_method": "noaux_tc"}, "topk_method"),
        ({"model_type": "deepseek_v2", "num_experts_per_tok": None}, "num_experts_per_tok"),
    ],
    ids=str,
)
def test_a_broken_config_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        architecture_of(TINY | changes)

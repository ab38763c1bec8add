"""Which modules a run touches, and how a run is refused that does not suit its model."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import Abstention, InputError
from planner.memory.step import profile_step
from planner.methods import method_of
from planner.methods.counting import trainable
from planner.run import TrainingRun
from tests.support.families import architecture_of
from tests.support.peft_runs import LLAMA, MIXTRAL


def targets(config: dict[str, Any], **fields: Any) -> frozenset[str]:
    run = TrainingRun(model="tiny", **fields)
    return method_of(run).targets(architecture_of(config), run)


def test_a_list_matches_ends_of_names_at_a_dot() -> None:
    assert targets(LLAMA, target_modules=["0.self_attn.q_proj"]) == {"model.layers.0.self_attn.q_proj"}
    assert len(targets(LLAMA, target_modules=["q_proj", "mlp.up_proj"])) == 8


def test_a_string_is_a_regular_expression_for_the_whole_name() -> None:
    found = targets(LLAMA, target_modules=r"model\.layers\.[01]\.self_attn\.(q|k)_proj")
    assert found == {f"model.layers.{layer}.self_attn.{name}_proj" for layer in (0, 1) for name in "qk"}


def test_all_linear_leaves_the_head_out() -> None:
    found = targets(LLAMA)
    assert len(found) == 7 * 4
    assert "lm_head" not in found


def test_modules_to_save_are_no_targets() -> None:
    found = targets(LLAMA, modules_to_save=["mlp"])
    assert len(found) == 4 * 4


def test_all_linear_reaches_the_experts_where_peft_rewrites_it() -> None:
    run = TrainingRun(model="tiny", rank=4)
    found = method_of(run).parameters(architecture_of(MIXTRAL), run)
    layer = {name.removeprefix("model.layers.0.mlp."): rank for name, rank in found.items() if ".0." in name}
    assert layer == {"gate.weight": 4, "experts.gate_up_proj": 8, "experts.down_proj": 4}


@pytest.mark.parametrize(
    ("config", "fields", "words"),
    [
        (
            LLAMA,
            {"target_modules": ["q_prj"]},
            ["target_modules 'q_prj' matches no module", "q_proj", "down_proj"],
        ),
        (LLAMA, {"target_modules": r".*\.query"}, ["matches no module"]),
        (LLAMA, {"target_modules": ["mlp"]}, ["'model.layers.0.mlp'", "cannot adapt"]),
        (LLAMA, {"target_modules": ["norm"]}, ["'model.norm'", "cannot adapt"]),
        (LLAMA, {"rank": 65}, ["rank 65", "64 x 64", "at most 64"]),
        (LLAMA, {"rank": 33}, ["rank 33", "self_attn.k_proj", "32 x 64"]),
        (LLAMA, {"modules_to_save": ["head"], "target_modules": ["lm_head"]}, ["'lm_head'", "both"]),
        (LLAMA, {"modules_to_save": ["classifier"]}, ["'classifier' matches no module", "lm_head"]),
        (LLAMA, {"modules_to_save": ["mlp", "up_proj"]}, ["keep one of them"]),
        (LLAMA, {"modules_to_save": ["q_proj"], "method": "qlora"}, ["nf4 weight cannot be trained"]),
        (LLAMA, {"target_parameters": ["experts.up"]}, ["'experts.up' matches no parameter"]),
        (LLAMA, {"target_parameters": ["norm.weight"]}, ["1 dimensions"]),
        (LLAMA, {"target_parameters": ["q_proj.weight"]}, ["both target_modules and target_parameters"]),
        (MIXTRAL, {"target_modules": ["w1"]}, ["w1 and w3", "give both"]),
        (MIXTRAL, {"dropout": 0.1}, ["dropout 0.1"]),
        (MIXTRAL, {"method": "dora"}, ["DoRA"]),
        (MIXTRAL, {"method": "ln_tuning"}, ["no default target_modules for model type 'mixtral'"]),
        (LLAMA, {"method": "trainable_tokens", "trainable_token_count": 600}, ["600", "512"]),
        (LLAMA, {"method": "ln_tuning", "target_modules": ["q_proj"], "quantization": "int8"}, ["int8"]),
    ],
    ids=str,
)
def test_a_run_that_does_not_suit_the_model(config: dict[str, Any], fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        trainable(architecture_of(config), TrainingRun(model="tiny", **fields))
    for word in words:
        assert word in str(error.value)


def test_a_narrow_gate_does_not_limit_the_rank() -> None:
    # four experts, rank 16: the router's matrix is 4 x 64, and PEFT adapts it all the same
    assert trainable(architecture_of(MIXTRAL), TrainingRun(model="tiny", rank=16)).trainable > 0


def test_dora_on_an_embedding_is_counted_but_its_activations_are_not_known() -> None:
    run = TrainingRun(model="tiny", method="dora", rank=4, target_modules=["embed_tokens"])
    assert trainable(architecture_of(LLAMA), run).trainable == 4 * (512 + 64) + 64
    with pytest.raises(Abstention, match="DoRA on an embedding"):
        profile_step(architecture_of(LLAMA), run)

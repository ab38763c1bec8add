"""The PEFT config of a run: PEFT's counts on real tensors equal the planner's."""

from __future__ import annotations

from typing import Any

import peft
import pytest

from planner.methods.counting import trainable
from planner.run import TrainingRun
from profiler.simulate.build.adapters import wrap
from profiler.simulate.build.peft_config import peft_config
from tests.profiler.simulate.build.models import model_on
from tests.support.families import architecture_of
from tests.support.peft_runs import GPT2, LLAMA, MIXTRAL

BIASED = LLAMA | {"attention_bias": True, "mlp_bias": True}


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (LLAMA, {"method": "lora", "rank": 4}),
        (LLAMA, {"method": "qlora", "rank": 4, "alpha": 7.5, "dropout": 0.1}),
        (LLAMA, {"method": "dora", "rank": 4, "target_modules": ["q_proj", "embed_tokens"]}),
        (LLAMA, {"method": "rslora", "rank": 4, "target_modules": r".*layers\.[02]\..*_proj"}),
        (LLAMA, {"rank": 4, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
        (BIASED, {"rank": 4, "bias": "all", "target_modules": ["q_proj"]}),
        (BIASED, {"rank": 4, "bias": "lora_only", "target_modules": ["q_proj", "down_proj"]}),
        (MIXTRAL, {"rank": 4}),
        (MIXTRAL, {"rank": 4, "target_modules": [], "target_parameters": ["experts.gate_up_proj"]}),
        (LLAMA, {"method": "ia3"}),
        (LLAMA, {"method": "ia3", "target_modules": ["k_proj", "down_proj"]}),
        (GPT2, {"method": "ia3"}),
        (GPT2, {"method": "ln_tuning"}),
        (LLAMA, {"method": "ln_tuning", "target_modules": ["norm"], "modules_to_save": ["lm_head"]}),
        (LLAMA, {"method": "prompt_tuning", "num_virtual_tokens": 7}),
        (LLAMA, {"method": "p_tuning", "encoder_hidden_size": 24}),
        (LLAMA, {"method": "p_tuning", "encoder_num_layers": 3}),
        (LLAMA, {"method": "prefix_tuning"}),
        (LLAMA, {"method": "prefix_tuning", "prefix_projection": True, "encoder_hidden_size": 24}),
        (LLAMA, {"method": "trainable_tokens", "trainable_token_count": 3}),
    ],
    ids=str,
)
def test_the_config_trains_what_the_planner_counts(config: dict[str, Any], fields: dict[str, Any]) -> None:
    run = TrainingRun(model="tiny", **fields)
    model = wrap(model_on("meta", config), run, peft_config(run))
    summary = trainable(architecture_of(config), run)
    assert model.get_nb_trainable_parameters() == (summary.trainable, summary.total)


def test_full_fine_tuning_trains_every_parameter() -> None:
    run = TrainingRun(model="tiny", method="full")
    assert peft_config(run) is None
    model = wrap(model_on("meta").requires_grad_(False), run, None)
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert count == trainable(architecture_of(LLAMA), run).trainable


def test_scales_are_those_of_the_run() -> None:
    run = TrainingRun(model="tiny", rank=4, alpha=6.0, use_rslora=True, target_modules=["q_proj"])
    model = wrap(model_on("meta"), run, peft_config(run))
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    assert layer.scaling == {"default": 3.0}  # 6 / sqrt(4)


def test_prompt_tuning_suits_a_config_that_names_its_heads_otherwise() -> None:
    run = TrainingRun(model="tiny", method="prompt_tuning", num_virtual_tokens=5)
    mpt = {"model_type": "mpt", "d_model": 64, "n_heads": 4, "n_layers": 2, "vocab_size": 512}
    assert wrap(model_on("meta", mpt), run, peft_config(run)).get_nb_trainable_parameters()[0] == 5 * 64
    assert isinstance(peft_config(run), peft.PromptTuningConfig)

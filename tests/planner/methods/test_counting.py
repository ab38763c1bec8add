"""Trained and total parameters, against PEFT's `get_nb_trainable_parameters` on the meta device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner.catalogue
from planner.methods.counting import trainable
from planner.optimizers.tensors import Trained
from planner.run import TrainingRun
from tests.support.families import architecture_of
from tests.support.peft_runs import GPT2, LLAMA, MIXTRAL, peft_model, shortened

CATALOGUE = json.loads((Path(planner.catalogue.__file__).parent / "data" / "models.json").read_text())

ATTENTION = (
    ("q_proj", "v_proj"),
    ("q_proj", "kv_b_proj"),
    ("q_b_proj", "kv_b_proj"),
    ("query_key_value",),
    ("qkv_proj",),
    ("c_attn",),
    ("Wqkv",),
    ("query", "value"),
)
"""What families call the projections of queries and values."""

BIASED = LLAMA | {"attention_bias": True, "mlp_bias": True}
TIED = LLAMA | {"tie_word_embeddings": True}


def assert_counts_are_pefts(config: dict[str, Any], run: TrainingRun) -> None:
    ours = trainable(architecture_of(config), run)
    assert (ours.trainable, ours.total) == peft_model(config, run).get_nb_trainable_parameters()


@pytest.mark.parametrize("config", [LLAMA, TIED, GPT2], ids=["untied", "tied", "gpt2"])
@pytest.mark.parametrize(
    "fields",
    [
        {"method": "lora"},
        {"method": "dora"},
        {"method": "rslora"},
        {"method": "ia3"},
        {"method": "ln_tuning"},
        {"method": "prompt_tuning"},
        {"method": "p_tuning"},
        {"method": "p_tuning", "encoder_hidden_size": 24},
        {"method": "prefix_tuning"},
        {"method": "prefix_tuning", "prefix_projection": True, "encoder_hidden_size": 24},
        {"method": "trainable_tokens", "trainable_token_count": 3},
    ],
    ids=str,
)
def test_every_method(config: dict[str, Any], fields: dict[str, Any]) -> None:
    assert_counts_are_pefts(config, TrainingRun(model="tiny", **fields))


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (LLAMA, {"target_modules": ["q_proj", "self_attn.v_proj"]}),
        (LLAMA, {"target_modules": r".*layers\.[02]\..*_proj"}),
        (LLAMA, {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
        (LLAMA, {"target_modules": ["embed_tokens"], "use_dora": True}),
        (TIED, {"modules_to_save": ["lm_head"]}),
        (TIED, {"modules_to_save": ["embed_tokens"]}),
        (LLAMA, {"modules_to_save": ["norm"]}),
        (LLAMA, {"modules_to_save": ["mlp"]}),
        (LLAMA, {"method": "ia3", "modules_to_save": ["lm_head"]}),
        (LLAMA, {"method": "ln_tuning", "target_modules": ["norm"], "modules_to_save": ["lm_head"]}),
        (BIASED, {"bias": "all", "target_modules": ["q_proj"]}),
        (BIASED, {"bias": "lora_only", "target_modules": ["q_proj", "down_proj"]}),
        (BIASED, {"bias": "all", "modules_to_save": ["q_proj"]}),
        (GPT2, {"bias": "all"}),
        (GPT2, {"target_modules": ["wte", "c_attn"]}),
        (MIXTRAL, {}),
        (MIXTRAL, {"target_modules": ["q_proj", "w1", "w2", "w3"]}),
        (MIXTRAL, {"target_modules": r".*\.(q_proj|down_proj)"}),
        (MIXTRAL, {"target_modules": [], "target_parameters": ["experts.gate_up_proj"]}),
        (MIXTRAL, {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.down_proj"]}),
    ],
    ids=str,
)
def test_options(config: dict[str, Any], fields: dict[str, Any]) -> None:
    rank = {} if "method" in fields else {"rank": 4}
    assert_counts_are_pefts(config, TrainingRun(model="tiny", **rank, **fields))


@pytest.mark.parametrize(
    ("model", "fields", "trained", "total"),
    [
        ("meta-llama/Llama-3.1-8B", {"rank": 16}, 41_943_040, 8_072_204_288),
        (
            "meta-llama/Llama-2-7b-hf",
            {"rank": 8, "target_modules": ["q_proj", "v_proj"]},
            4_194_304,
            6_742_609_920,
        ),
    ],
)
def test_published_counts(model: str, fields: dict[str, Any], trained: int, total: int) -> None:
    ours = trainable(architecture_of(CATALOGUE[model]["config"]), TrainingRun(model=model, **fields))
    assert (ours.trainable, ours.total) == (trained, total)


def test_full_fine_tuning_trains_a_tied_weight_once() -> None:
    architecture = architecture_of(TIED)
    summary = trainable(architecture, TrainingRun(model="tiny", method="full", base_dtype="float32"))
    assert summary.trainable == summary.total == architecture.parameters
    assert summary.added_bytes == 0
    assert summary.gradient_bytes == 4 * architecture.parameters
    assert Trained((512, 64), "float32", count=1, embedding=True) in summary.tensors


def test_bytes_and_tensors_follow_the_dtypes() -> None:
    run = TrainingRun(model="tiny", rank=4, target_modules=["q_proj"], modules_to_save=["lm_head"])
    summary = trainable(architecture_of(LLAMA), run)
    # four layers of A and B in float32, and a copy of the head in the base's bfloat16
    assert summary.gradient_bytes == summary.added_bytes == 4 * (4 * 64 + 64 * 4) * 4 + 512 * 64 * 2
    assert set(summary.tensors) == {
        Trained((4, 64), "float32", count=4),
        Trained((64, 4), "float32", count=4),
        Trained((512, 64), "bfloat16"),
    }


def test_trainable_tokens_keep_the_originals_beside_the_trained_rows() -> None:
    run = TrainingRun(model="tiny", method="trainable_tokens", trainable_token_count=3)
    summary = trainable(architecture_of(TIED), run)
    assert summary.added_bytes == 2 * summary.gradient_bytes == 2 * 3 * 64 * 4


def _one_of_each_shape() -> list[str]:
    """Catalogue models that transformers builds, up to three of a model type and no two of one shape."""
    chosen: dict[str, list[str]] = {}
    for name, entry in CATALOGUE.items():
        same = chosen.setdefault(entry["config"]["model_type"], [])
        built = entry["built_as"] and "equivalent" not in entry["built_as"]
        widths = [CATALOGUE[other]["config"].get("hidden_size") for other in same]
        if built and len(same) < 3 and entry["config"].get("hidden_size") not in widths:
            same.append(name)
    return [name for names in chosen.values() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("model", _one_of_each_shape())
def test_catalogue_models(model: str) -> None:
    """The first layers of catalogue models: LoRA q,v and all-linear, DoRA, IA³ and prompt tuning."""
    # Jamba's first attention is in its fifth layer
    config = shortened(CATALOGUE[model]["config"], layers=5)
    architecture = architecture_of(config)
    names = {name.rsplit(".", 1)[-1] for name, module in architecture.modules() if module.kind in ("linear", "conv1d")}
    attention = next(list(words) for words in ATTENTION if names.issuperset(words))
    runs = [
        TrainingRun(model=model, rank=16, target_modules=attention),
        TrainingRun(model=model, rank=16),
        TrainingRun(model=model, method="dora", rank=16, target_modules=attention),
        # without a default of PEFT's, its `feedforward_modules` has to be given as well: as empty
        TrainingRun(model=model, method="ia3", target_modules=() if _has_ia3(config) else attention),
        TrainingRun(model=model, method="prompt_tuning"),
    ]
    for run in runs:
        assert_counts_are_pefts(config, run)


def _has_ia3(config: dict[str, Any]) -> bool:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING

    return config["model_type"] in TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING

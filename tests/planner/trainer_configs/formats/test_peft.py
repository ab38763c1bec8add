"""PEFT's `adapter_config.json`: the runs in it, beside what PEFT's own classes make of the same files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import TrainerConfig
from planner.trainer_configs.document import Document
from planner.trainer_configs.formats.peft import FORMAT, keys, own_lora_targets
from planner.trainer_configs.formats.peft.own_targets import LORA_TARGETS
from planner.trainer_configs.read import read_config
from planner.trainer_configs.reader import Reader

DATA = Path(__file__).parent / "data" / "peft"

EXPECTED = {
    "lora_saved.json": TrainingRun(
        model="mistralai/Mistral-7B-v0.1",
        method="lora",
        rank=64,
        alpha=32,
        dropout=0.05,
        target_modules=["down_proj", "up_proj", "k_proj", "q_proj", "gate_proj", "o_proj", "v_proj"],
        peft_version="0.17.1",
    ),
    "lora_of_2023.json": TrainingRun(
        model="meta-llama/Llama-2-7b-hf",
        method="lora",
        rank=8,
        alpha=16,
        dropout=0.05,
        target_modules=["q_proj", "v_proj"],
    ),
    "dora_by_hand.json": TrainingRun(
        model="Qwen/Qwen2.5-7B",
        method="lora",
        use_dora=True,
        use_rslora=True,
        rank=32,
        alpha=32,
        target_modules="all-linear",
        modules_to_save=["lm_head"],
    ),
    # PEFT's defaults, and its own choice of modules for a Llama
    "own_targets.json": TrainingRun(
        model="meta-llama/Llama-3.1-8B", method="lora", rank=8, alpha=8, target_modules=["q_proj", "v_proj"]
    ),
    "some_layers.json": TrainingRun(
        model="meta-llama/Llama-3.1-8B",
        method="lora",
        rank=16,
        alpha=16,
        bias="lora_only",
        target_modules=r"(?:q_proj|mlp\.down_proj)|[^0-9]*\.(?:0|1|30|31)\b.*\.(?:q_proj|mlp\.down_proj)",
        peft_version="0.18.2.dev0",
    ),
    "experts.json": TrainingRun(
        model="Qwen/Qwen3-30B-A3B",
        method="lora",
        rank=8,
        alpha=16,
        target_modules=["q_proj", "v_proj"],
        target_parameters=["experts.gate_up_proj", "experts.down_proj"],
    ),
    "ia3.json": TrainingRun(
        model="mistralai/Mistral-7B-v0.1", method="ia3", target_modules=["k_proj", "down_proj", "v_proj"]
    ),
    "prompt.json": TrainingRun(model="bigscience/bloomz-560m", method="prompt_tuning", num_virtual_tokens=8),
    "prefix.json": TrainingRun(
        model="gpt2",
        method="prefix_tuning",
        num_virtual_tokens=30,
        prefix_projection=True,
        encoder_hidden_size=768,
    ),
    "p_tuning.json": TrainingRun(model="gpt2", method="p_tuning", num_virtual_tokens=20, encoder_hidden_size=128),
    "layer_norms.json": TrainingRun(
        model="meta-llama/Llama-3.2-1B",
        method="ln_tuning",
        target_modules=["input_layernorm", "post_attention_layernorm", "norm"],
    ),
    "tokens.json": TrainingRun(model="meta-llama/Llama-3.2-1B", method="trainable_tokens", trainable_token_count=3),
}


def read(name: str) -> TrainerConfig:
    return read_config(DATA / name, "peft")


def of(content: dict[str, Any]) -> TrainerConfig:
    reader = Reader(Document("adapter_config.json", Path(), content), FORMAT)
    FORMAT.read(reader)
    return reader.finish()


def lora(**content: object) -> TrainerConfig:
    return of({"peft_type": "LORA", "base_model_name_or_path": "llama-3.1-8b", "target_modules": ["q_proj"], **content})


def uncounted(config: TrainerConfig) -> set[str]:
    return {setting.key for setting in config.uncounted}


def test_every_file_has_a_run_written_out() -> None:
    assert {path.name for path in DATA.iterdir()} == EXPECTED.keys()
    assert not FORMAT.signs(Document("a", Path(), {"base_model": "m", "adapter": "lora", "task_type": "x"}))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_run_in_each_file(name: str) -> None:
    config = read(name)
    assert TrainingRun(**{**config.run_defaults, **config.run}) == EXPECTED[name]
    assert uncounted(config) == ({"rank_pattern"} if name == "some_layers.json" else set())
    assert any("says nothing of quantization" in note for note in config.notes)


def test_a_type_that_is_not_planned_says_what_runs_it() -> None:
    with pytest.raises(InputError) as caught:
        of({"peft_type": "ADALORA"})
    assert str(caught.value) == (
        "adapter_config.json: peft_type ADALORA is a method that is not planned; "
        "`lora-plan simulate --peft-config FILE` runs it"
    )
    with pytest.raises(InputError, match=r"must be one of LORA, IA3, .* not 'LORRA'; did you mean"):
        of({"peft_type": "LORRA"})


def test_targets_of_a_model_that_is_not_in_the_catalogue() -> None:
    config = of({"peft_type": "LORA", "base_model_name_or_path": "someone/model-of-their-own"})
    assert "target_modules" not in {**config.run, **config.run_defaults}
    assert uncounted(config) == {"target_modules"}
    assert of({"peft_type": "LORA"}).notes[0] == "the base model is not named; give --model"


@pytest.mark.parametrize(
    ("model", "chosen"),
    [
        # PEFT adapts its own choice beside the parameters, where it has one for the model's type
        ("mixtral-8x7b", ("q_proj", "v_proj")),
        ("gpt-oss-20b", ()),
    ],
)
def test_targets_that_are_parameters_alone(model: str, chosen: tuple[str, ...]) -> None:
    content = {"peft_type": "LORA", "base_model_name_or_path": model, "target_parameters": ["experts.down_proj"]}
    assert of(content).run_defaults["target_modules"] == chosen
    assert not of(content).uncounted


def test_targets_of_a_type_that_peft_has_no_choice_for() -> None:
    config = of({"peft_type": "LORA", "base_model_name_or_path": "gpt-oss-20b"})
    (setting,) = config.uncounted
    assert setting.text == "PEFT has no choice for a gpt_oss, and refuses"


def test_a_name_that_says_four_bits_is_noted() -> None:
    config = lora(base_model_name_or_path="unsloth/llama-3-8b-bnb-4bit")
    assert any("--quantization nf4" in note for note in config.notes)


@pytest.mark.parametrize(
    ("setting", "warned"),
    [
        ({"init_lora_weights": "gaussian"}, False),
        ({"init_lora_weights": False}, False),
        ({"init_lora_weights": "loftq", "loftq_config": {"loftq_bits": 4}}, False),
        ({"init_lora_weights": "eva", "eva_config": {"rho": 2.0}}, True),
        ({"init_lora_weights": "mica"}, True),
        ({"init_lora_weights": "of a later release"}, True),
        ({"alpha_pattern": {"q_proj": 32}}, False),
        ({"rank_pattern": {"q_proj": 32}}, True),
        ({"layers_to_transform": [0], "target_modules": ".*q_proj"}, True),
        ({"layers_to_transform": 0}, False),
        ({"layers_to_transform": list(range(300))}, True),
        ({"exclude_modules": ["lm_head"]}, True),
        ({"layer_replication": [[0, 4], [2, 5]]}, True),
        ({"lora_bias": True}, True),
        ({"trainable_token_indices": [0, 1]}, True),
        ({"task_type": "SEQ_CLS"}, True),
        ({"newer": 1}, True),
        ({"runtime_config": {"ephemeral_gpu_offload": False}}, False),
    ],
)
def test_settings_that_move_memory_are_uncounted(setting: dict[str, Any], warned: bool) -> None:
    assert bool(lora(**setting).uncounted) == warned


def test_ia3_with_another_feedforward_layer_than_pefts_own() -> None:
    content = {"peft_type": "IA3", "base_model_name_or_path": "llama-3.1-8b", "feedforward_modules": ["up_proj"]}
    assert uncounted(of(content)) == {"feedforward_modules"}
    assert not uncounted(of({**content, "feedforward_modules": ["down_proj"]}))


def test_prompts_with_parts_that_are_not_planned() -> None:
    content = {"peft_type": "P_TUNING", "num_virtual_tokens": 4, "encoder_reparameterization_type": "LSTM"}
    assert uncounted(of(content)) == {"encoder_reparameterization_type"}
    assert uncounted(of({"peft_type": "PROMPT_TUNING", "modules_to_save": ["lm_head"]})) == {
        *("modules_to_save", "num_virtual_tokens")
    }
    # an encoder's size without the encoder: PEFT makes none
    assert "encoder_hidden_size" not in of({"peft_type": "PREFIX_TUNING", "encoder_hidden_size": 64}).run


def test_tokens_of_another_matrix_than_the_embedding() -> None:
    content = {"peft_type": "TRAINABLE_TOKENS", "token_indices": [1, 2], "target_modules": ["lm_head"]}
    assert uncounted(of(content)) == {"target_modules"}
    with pytest.raises(InputError, match="token_indices must be a list of token ids, not 'all'"):
        of({**content, "token_indices": "all"})


def test_values_that_the_run_refuses_are_named_by_it() -> None:
    config = lora(r=0)
    assert config.keys["rank"] == "r"
    with pytest.raises(InputError, match="rank must be a whole number"):
        TrainingRun(**config.run)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["LORA", "q_proj", "${X}", "pissa", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "1"]), inner, max_size=2),
    max_leaves=6,
)
KNOWN = sorted({key for kind in keys.METHODS for key in (*keys.SAME[kind], *keys.MOVES[kind], *keys.HARMLESS_OF[kind])})
OTHERS = ["base_model_name_or_path", "task_type", "peft_version", "layers_to_transform", "token_indices", "newer"]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([*keys.METHODS, None]), st.dictionaries(st.sampled_from([*KNOWN, *OTHERS]), VALUES, max_size=6))
def test_any_mapping_is_read_or_refused_in_one_sentence(kind: str | None, content: dict[str, Any]) -> None:
    content = content if kind is None else {**content, "peft_type": kind}
    try:
        config = of(content)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        told = {setting.key for place in (config.understood, config.ignored, config.uncounted) for setting in place}
        assert {key for key, value in content.items() if value is not None} <= told


# PEFT itself


@pytest.mark.parametrize("name", EXPECTED)
def test_peft_reads_the_same_in_the_same_files(name: str) -> None:
    from peft import PeftConfig

    attributes = PeftConfig.from_json_file(str(DATA / name))
    own = PeftConfig.from_peft_type(
        **{key: value for key, value in attributes.items() if key not in ("enable_lora", "merge_weights")}
    )
    config = read(name)
    run = {**config.run_defaults, **config.run}
    assert own.base_model_name_or_path == run["model"]
    for key, field in keys.SAME[own.peft_type.value].items():
        value = getattr(own, key)
        assert (set(run[field]) if isinstance(value, set) else run.get(field)) == value, key
    if own.peft_type.value == "LORA" and isinstance(own.target_modules, set) and name != "some_layers.json":
        assert set(run["target_modules"]) == own.target_modules


def test_every_field_of_pefts_configs_is_known() -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    for kind in keys.METHODS:
        (own,) = (config for name, config in PEFT_TYPE_TO_CONFIG_MAPPING.items() if name.value == kind)
        content: dict[str, Any] = {field.name: "x" for field in fields(own)} | {"peft_type": kind}
        for name, value in {"token_indices": [1], "prefix_projection": True}.items():
            content |= {name: value} if name in content else {}
        assert not [setting.key for setting in of(content).uncounted if "not a setting of" in setting.text]


def test_the_types_of_peft() -> None:
    from peft import PeftType

    assert {*keys.METHODS, *keys.OTHER_TYPES} == {kind.value for kind in PeftType}


def test_the_defaults_of_peft() -> None:
    from peft import LoraConfig, PromptEncoderConfig

    own = LoraConfig()
    for key, field in keys.SAME["LORA"].items():
        if field in keys.LORA_DEFAULTS:
            assert keys.LORA_DEFAULTS[field] == getattr(own, key)
    assert of({"peft_type": "P_TUNING"}).run_defaults == {
        "encoder_num_layers": PromptEncoderConfig(num_virtual_tokens=1).encoder_num_layers
    }


def test_the_modules_that_peft_chooses_by_itself() -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as OWN

    assert {kind: own if isinstance(own, str) else tuple(own) for kind, own in OWN.items()} == LORA_TARGETS
    assert own_lora_targets("llama-3.1-8b") == ("q_proj", "v_proj")
    assert own_lora_targets(None) is None


def test_layers_are_told_as_peft_tells_them() -> None:
    import re

    from peft import LoraConfig
    from peft.tuners.tuners_utils import check_target_module_exists

    names = [
        f"model.layers.{layer}.{rest}"
        for layer in (0, 1, 3, 10, 13, 31)
        for rest in ("self_attn.q_proj", "self_attn.xq_proj", "mlp.down_proj", "mlp.experts.1.down_proj", "down_proj")
    ]
    own = LoraConfig(target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 3])
    config = lora(target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 3])
    pattern = str(config.run["target_modules"])
    for name in [*names, "model.embed_tokens", "lm_head", "q_proj"]:
        assert bool(re.fullmatch(pattern, name)) == bool(check_target_module_exists(own, name)), name

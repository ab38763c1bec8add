"""LLaMA-Factory's configs: those that people have, and what their settings mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs.document import Document, read_document
from planner.trainer_configs.formats.hf_arguments import FORMER as FORMER_HF
from planner.trainer_configs.formats.hf_arguments import HARMLESS as HARMLESS_HF
from planner.trainer_configs.formats.hf_arguments import MOVES as MOVES_HF
from planner.trainer_configs.formats.llamafactory import FORMAT
from planner.trainer_configs.formats.llamafactory.keys import FORMER, HARMLESS, MOVES, MOVES_OFF, OF_DATA, SIGNS
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import Json, TrainerConfig

DATA = Path(__file__).parent / "data" / "llamafactory"

LLAMA_FACTORY = {
    "base_dtype": "bfloat16",
    "mixed_precision": "bf16",
    "attention": "sdpa",
    "gradient_checkpointing": True,
    "use_reentrant": True,
    "optimizer": "adamw_torch_fused",
}
"""What a run of it has in common where nothing else is said."""

BY_HAND: dict[str, dict[str, Any]] = {
    "llama3_lora_sft.yaml": {
        "model": "meta-llama/Meta-Llama-3-8B-Instruct",
        "method": "lora",
        "rank": 8,
        "sequence_length": 2048,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "eval_batch_size": 1,
    },
    "qwen_qlora_tickets.yaml": {
        "model": "Qwen/Qwen2.5-14B-Instruct",
        "method": "qlora",
        "double_quant": False,
        "prepare_kbit": False,
        "rank": 64,
        "alpha": 16,
        "dropout": 0.05,
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"],
        "attention": "flash_attention_2",
        # 1500 tokens, padded to a multiple of 8
        "sequence_length": 1504,
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "optimizer": "paged_adamw_8bit",
        "max_grad_norm": 0.3,
    },
    "llama3_full_ds3.yaml": {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "method": "full",
        # DeepSpeed casts the model itself, and enters no autocast
        "mixed_precision": "no",
        "sequence_length": 4096,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "num_gpus": 8,
        "strategy": "zero3",
    },
    "qwen3_full_packed.yaml": {
        "model": "Qwen/Qwen3-0.6B",
        "method": "full",
        "mixed_precision": "no",
        "attention": "flash_attention_2",
        "kernels": "liger",
        "checkpoint_offload": True,
        "packing": True,
        "sequence_length": 32768,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 4,
        "optimizer": "adamw_torch",
    },
    "tinyllama_pretrain.yaml": {
        "model": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        "method": "full",
        # what is trained is cast to float32
        "base_dtype": "float32",
        "mixed_precision": "fp16",
        "gradient_checkpointing": False,
        "use_reentrant": None,
        "packing": True,
        "sequence_length": 1001,
        "micro_batch_size": 4,
        "optimizer": "adafactor",
    },
    "mistral_dora_int8.yml": {
        "model": "mistralai/Mistral-7B-v0.3",
        "method": "lora",
        "quantization": "int8",
        "prepare_kbit": False,
        "use_dora": True,
        "use_rslora": True,
        "rank": 32,
        "target_modules": ["q_proj", "v_proj"],
        "use_reentrant": False,
        "sequence_length": 2048,
        "micro_batch_size": 2,
    },
    "llama3_galore.yaml": {
        "model": "meta-llama/Llama-3.2-1B",
        "method": "full",
        "sequence_length": 512,
        "micro_batch_size": 1,
        "optimizer": "galore_adamw_8bit",
    },
    "gemma_new_tokens.yaml": {
        "model": "google/gemma-2-2b-it",
        "method": "lora",
        "rank": 8,
        "modules_to_save": ["embed_tokens", "lm_head"],
        "attention": "flash_attention_2",
        "sequence_length": 2048,
        "micro_batch_size": 1,
        "eval_batch_size": 2,
    },
    "train.sh": {
        "model": "meta-llama/Llama-2-7b-hf",
        "method": "lora",
        # as Llama 2 is published
        "base_dtype": "float16",
        "mixed_precision": "fp16",
        "rank": 16,
        "target_modules": ["q_proj", "v_proj"],
        "sequence_length": 1024,
        "micro_batch_size": 8,
        "gradient_accumulation_steps": 2,
        "optimizer": "adamw_torch",
        "num_gpus": 2,
    },
}
"""File -> the run that a person would write for it."""

UNCOUNTED = {
    "qwen_qlora_tickets.yaml": ["upcast_layernorm"],
    "llama3_full_ds3.yaml": ["deepspeed.zero_optimization"],
    "mistral_dora_int8.yml": ["shift_attn"],
    "gemma_new_tokens.yaml": ["resize_vocab"],
}

JOBS: dict[str, dict[str, object]] = {
    "llama3_lora_sft.yaml": {"epochs": 3.0, "save_steps": 500, "eval_split": 0.1},
    "qwen_qlora_tickets.yaml": {"epochs": 2, "save_steps": 500},
    "qwen3_full_packed.yaml": {"epochs": 2, "save_steps": 0},
    "tinyllama_pretrain.yaml": {"epochs": 3.0, "save_steps": 500, "max_steps": 2000},
    "mistral_dora_int8.yml": {"epochs": 3.0, "save_steps": 200},
    "gemma_new_tokens.yaml": {"epochs": 3.0, "save_steps": 500},
    "train.sh": {"epochs": 3.0, "save_steps": 100},
}


def read(document: Document) -> TrainerConfig:
    reader = Reader(document, FORMAT)
    FORMAT.read(reader)
    return reader.finish()


def config_of(**settings: Any) -> TrainerConfig:
    return read(Document("a.yaml", Path(), {"model_name_or_path": "llama-3-8b", "do_train": True, **settings}))


def run_of(**settings: Any) -> dict[str, object]:
    config = config_of(**settings)
    return {**config.run_defaults, **config.run}


def uncounted(config: TrainerConfig) -> list[str]:
    return [setting.key for setting in config.uncounted]


@pytest.mark.parametrize("name", BY_HAND)
def test_a_config_is_the_run_that_a_person_would_write(name: str) -> None:
    config = read(read_document(DATA / name))
    fields = {**config.run_defaults, **config.run}
    if name == "llama3_full_ds3.yaml":
        # which no config of one process says
        fields["num_gpus"] = 8
    assert TrainingRun(**fields) == TrainingRun(**(LLAMA_FACTORY | BY_HAND[name]))
    assert uncounted(config) == UNCOUNTED.get(name, [])
    if name in JOBS:
        assert {**config.job_defaults, **config.job} == JOBS[name]


@pytest.mark.parametrize("name", BY_HAND)
def test_its_configs_show_it(name: str) -> None:
    assert FORMAT.signs(read_document(DATA / name))


@pytest.mark.parametrize(
    "settings",
    [
        {"model_name_or_path": "gpt2", "learning_rate": 1e-4, "lora_r": 8, "dataset_name": "imdb"},
        {"base_model": "gpt2", "adapter": "lora", "lora_r": 8, "val_set_size": 0.1, "sequence_len": 2048},
        {"zero_optimization": {"stage": 2}, "bf16": {"enabled": True}},
        {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "gpt2"},
    ],
)
def test_others_configs_do_not(settings: dict[str, Any]) -> None:
    assert FORMAT.signs(Document("a.yaml", Path(), settings)) == ()


# what its settings mean


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({}, {"method": "lora", "rank": 8, "alpha": 16.0, "quantization": "none", "adapter_dtype": "float32"}),
        ({"lora_alpha": 0, "lora_rank": "32"}, {"rank": 32, "alpha": 64.0}),
        ({"additional_target": "embed_tokens, lm_head"}, {"modules_to_save": ("embed_tokens", "lm_head")}),
        ({"resize_vocab": True, "additional_target": "lm_head"}, {"modules_to_save": ("lm_head",)}),
        ({"quantization_bit": 4}, {"method": "qlora", "quantization": "nf4", "double_quant": True}),
        ({"quantization_bit": "4", "quantization_type": "fp4"}, {"quantization": "fp4", "prepare_kbit": False}),
        ({"quantization_bit": 8}, {"method": "lora", "quantization": "int8", "prepare_kbit": False}),
        ({"finetuning_type": "full"}, {"method": "full", "base_dtype": "float32", "mixed_precision": "no"}),
        ({"finetuning_type": "full", "pure_bf16": True}, {"base_dtype": "bfloat16", "mixed_precision": "no"}),
        ({"pure_bf16": True, "bf16": True}, {"base_dtype": "bfloat16", "mixed_precision": "bf16"}),
        ({"model_name_or_path": "llama-2-7b"}, {"base_dtype": "float16"}),
        ({"flash_attn": "disabled"}, {"attention": "eager"}),
        ({"flash_attn": "auto", "model_name_or_path": "gemma-2-9b"}, {"attention": "flash_attention_2"}),
        ({"flash_attn": "fa2", "model_name_or_path": "gpt-oss-20b"}, {"attention": "flash_attention_3"}),
        ({"use_unsloth": True}, {"kernels": "unsloth"}),
        ({"use_liger_kernel": True}, {"kernels": "liger"}),
        ({"cutoff_len": 1001}, {"sequence_length": 1008}),
        ({"cutoff_len": 1001, "stage": "pt"}, {"sequence_length": 1001, "packing": True}),
        ({"neat_packing": True, "flash_attn": "fa2"}, {"packing": True}),
        ({"use_galore": True}, {"optimizer": "galore_adamw"}),
        ({"fsdp": "full_shard auto_wrap"}, {"strategy": "fsdp", "use_reentrant": True}),
        ({"ray_num_workers": 4}, {"num_gpus": 4}),
        ({"per_device_train_batch_size": 4, "bf16": "true"}, {"micro_batch_size": 4, "mixed_precision": "bf16"}),
    ],
)
def test_a_setting_gives_the_fields_that_it_means(settings: dict[str, Any], fields: dict[str, object]) -> None:
    run = run_of(**settings)
    assert {name: run.get(name) for name in fields} == fields
    TrainingRun(**{name: value for name, value in run.items() if name != "strategy"})


@pytest.mark.parametrize(
    ("settings", "on", "reentrant"),
    [
        ({}, True, True),
        ({"gradient_checkpointing": False}, True, True),
        ({"use_reentrant_gc": False}, True, False),
        ({"disable_gradient_checkpointing": True}, False, None),
        ({"disable_gradient_checkpointing": True, "gradient_checkpointing": True}, True, False),
        ({"gradient_checkpointing": True, "use_reentrant_gc": False}, True, True),
        ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}, True, False),
        ({"gradient_checkpointing_kwargs": {"use_reentrant": False}}, True, True),
        ({"use_unsloth_gc": True, "use_reentrant_gc": False}, True, True),
        ({"disable_gradient_checkpointing": True, "use_unsloth_gc": True}, False, None),
    ],
)
def test_it_checkpoints_unless_it_is_told_not_to(settings: dict[str, Any], on: bool, reentrant: bool | None) -> None:
    run = run_of(**settings)
    assert (run["gradient_checkpointing"], run.get("use_reentrant")) == (on, reentrant)
    assert config_of(**settings).uncounted == ()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"stage": "dpo", "pref_beta": 0.1}, "stage"),
        ({"stage": "ppo", "ppo_epochs": 2}, "stage"),
        ({"use_muon": True}, "use_muon"),
        ({"use_badam": True, "badam_mode": "layer"}, "use_badam"),
        ({"use_apollo": True, "apollo_rank": 16}, "use_apollo"),
        ({"pissa_init": True, "pissa_iter": 16}, "pissa_init"),
        ({"neat_packing": True}, "neat_packing"),
        ({"additional_target": "lm_head"}, "additional_target"),
        ({"freeze_vision_tower": False}, "freeze_vision_tower"),
        ({"image_max_pixels": 262144}, "image_max_pixels"),
        ({"adapter_name_or_path": "saves/lora"}, "adapter_name_or_path"),
        ({"predict_with_generate": True}, "predict_with_generate"),
        ({"finetuning_type": "full", "add_tokens": "<a>"}, "add_tokens"),
        ({"finetuning_type": "freeze", "freeze_trainable_layers": 4}, "finetuning_type"),
        ({"do_train": False}, "do_train"),
        ({"mlflow_tracking_uri": "somewhere"}, "mlflow_tracking_uri"),
        ({"lora_rank": "${RANK}"}, "lora_rank"),
        ({"lora_rang": 8}, "lora_rang"),
    ],
)
def test_what_moves_memory_and_is_in_no_field_is_uncounted(settings: dict[str, Any], key: str) -> None:
    assert uncounted(config_of(**settings)) == [key]


def test_what_belongs_to_another_method_is_ignored() -> None:
    config = config_of(
        finetuning_type="full",
        bf16=True,
        lora_rank=8,
        lora_target="all",
        additional_target="lm_head",
        oft_rank=4,
        freeze_trainable_layers=2,
        double_quantization=True,
        use_galore=False,
        galore_rank=8,
        adapter_name_or_path=None,
        freeze_vision_tower=True,
    )
    assert (config.uncounted, config.run["method"]) == ((), "full")
    assert TrainingRun(**{**config.run_defaults, **config.run}).method == "full"


def test_an_adapter_that_is_merged_first_moves_nothing() -> None:
    assert config_of(adapter_name_or_path="saves/lora", create_new_adapter=True).uncounted == ()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"finetuning_type": "freeze"}, "freeze"),
        ({"finetuning_type": "oft"}, "oft"),
        ({"quantization_bit": 3}, "3 bits"),
        ({"quantization_bit": 4, "quantization_method": "hqq"}, "hqq"),
        ({"flash_attn": "flash"}, None),
        ({"optim": "adamw_torch", "use_galore": True, "galore_layerwise": True}, "galore_adamw_layerwise"),
    ],
)
def test_what_no_run_can_be_is_left_to_the_run_to_refuse(settings: dict[str, Any], named: str | None) -> None:
    fields = run_of(**settings)
    if named is None:
        assert TrainingRun(**fields).attention == "flash_attention_2"
    else:
        with pytest.raises(InputError, match=named):
            TrainingRun(**fields)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("finetuning_type", "qlora"),
        ("quantization_bit", "four"),
        ("cutoff_len", "long"),
        ("val_size", "some"),
        ("pure_bf16", "perhaps"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_file_and_key(key: str, value: str) -> None:
    with pytest.raises(InputError, match=f"a.yaml: {key} must be "):
        config_of(**{key: value})


def test_a_config_that_does_not_say_to_train_is_noted() -> None:
    (note,) = read(Document("a.yaml", Path(), {"model_name_or_path": "llama-3-8b", "cutoff_len": 8})).notes
    assert note.startswith("do_train is not on")


@pytest.mark.parametrize(
    ("name", "fields", "keys"),
    [
        ("examples/deepspeed/ds_z0_config.json", {"strategy": "ddp"}, ["deepspeed.bf16"]),
        ("ds_z2_config.json", {"strategy": "zero2"}, ["deepspeed.zero_optimization"]),
        (
            "/root/LLaMA-Factory/examples/deepspeed/ds_z3_offload_config.json",
            {"strategy": "zero3", "base_dtype": "bfloat16", "mixed_precision": "no"},
            ["offload_optimizer", "offload_param", "deepspeed.zero_optimization"],
        ),
        ("my_z3.json", {"strategy": None}, ["deepspeed"]),
    ],
)
def test_its_own_deepspeed_configs_are_known_by_name(name: str, fields: dict[str, object], keys: list[str]) -> None:
    config = config_of(finetuning_type="full", bf16=True, deepspeed=name)
    run = {**config.run_defaults, **config.run}
    assert {field: run.get(field) for field in fields} == fields
    assert [key.removeprefix("deepspeed.zero_optimization.") for key in uncounted(config)] == keys
    assert len(config.notes) == (1 if name != "my_z3.json" else 0)


def test_a_placeholder_leaves_the_field_open() -> None:
    (setting,) = config_of(cutoff_len="${LENGTH}").uncounted
    assert (setting.key, setting.fields) == ("cutoff_len", ("sequence_length",))


KEYS = sorted(
    {*HARMLESS, *FORMER, *MOVES, *MOVES_OFF, *OF_DATA, *SIGNS, *HARMLESS_HF, *FORMER_HF, *MOVES_HF}
    | {"stage", "deepspeed", "fsdp", "fsdp_config", "gradient_checkpointing_kwargs", "use_reentrant_gc", "packing"}
    | {"lora_rank", "lora_alpha", "optim", "bf16", "fp16", "max_steps", "save_steps", "save_strategy", "use_galore"}
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "4", "all"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_stands_in_a_config_it_is_read_or_refused(settings: dict[str, Json]) -> None:
    try:
        config = read(Document("a.yaml", Path("/nowhere"), settings))
    except InputError as refused:
        assert str(refused).startswith("a.yaml: ")
        return
    groups = (config.understood, config.ignored, config.uncounted)
    said = {setting.key.split(".")[0] for group in groups for setting in group}
    assert {key for key, value in settings.items() if value is not None} <= said

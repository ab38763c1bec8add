"""Axolotl's configs: the runs that they are, written out by hand, and what becomes of every setting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import read_config
from planner.trainer_configs.document import Document, read_document
from planner.trainer_configs.formats.axolotl import FORMAT
from planner.trainer_configs.formats.axolotl.adapters import LORA_KERNELS
from planner.trainer_configs.formats.axolotl.keys import FORMER, HARMLESS, MOVES
from planner.trainer_configs.formats.axolotl.plugins import OF_PLUGINS
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import TrainerConfig

DATA = Path(__file__).parent / "data" / "axolotl"

LIGER = "axolotl.integrations.liger.LigerPlugin"
CUT = "axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin"


def read(folder: Path = Path(), **settings: Any) -> TrainerConfig:
    reader = Reader(Document("a.yml", folder, {"base_model": "llama-3.1-8b", **settings}), FORMAT)
    FORMAT.read(reader)
    return reader.finish()


def run_of(**settings: Any) -> dict[str, object]:
    config = read(**settings)
    return {**config.run_defaults, **config.run}


def job_of(**settings: Any) -> dict[str, object]:
    config = read(**settings)
    return {**config.job_defaults, **config.job}


def said(config: TrainerConfig) -> dict[str, str]:
    return {setting.key: setting.text for setting in config.uncounted}


# whole configs

RUNS = {
    "qlora_llama.yml": TrainingRun(
        model="meta-llama/Llama-3.1-8B",
        method="qlora",
        rank=32,
        alpha=16,
        dropout=0.05,
        target_modules="all-linear",
        quantization="nf4",
        double_quant=True,
        prepare_kbit=False,
        base_dtype="bfloat16",
        mixed_precision="bf16",
        optimizer="paged_adamw_32bit",
        micro_batch_size=2,
        gradient_accumulation_steps=4,
        sequence_length=4096,
        packing=True,
        eval_batch_size=2,
        gradient_checkpointing=True,
        use_reentrant=True,
        attention="flash_attention_2",
    ),
    "lora_mistral.yml": TrainingRun(
        model="mistralai/Mistral-7B-v0.3",
        method="lora",
        use_rslora=True,
        rank=16,
        alpha=32,
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj"),
        modules_to_save=("embed_tokens", "lm_head"),
        quantization="int8",
        prepare_kbit=False,
        optimizer="adamw_bnb_8bit",
        micro_batch_size=4,
        gradient_accumulation_steps=8,
        sequence_length=2048,
        eval_batch_size=2,
        max_grad_norm=0.3,
        gradient_checkpointing=True,
        use_reentrant=False,
        attention="sdpa",
    ),
    "full_liger.yml": TrainingRun(
        model="Qwen/Qwen2.5-1.5B",
        method="full",
        optimizer="adamw_torch_fused",
        micro_batch_size=1,
        gradient_accumulation_steps=2,
        sequence_length=8192,
        packing=True,
        gradient_checkpointing=True,
        use_reentrant=True,
        attention="flash_attention_2",
        kernels="liger",
        # DeepSpeed casts the model itself, and leaves autocast out
        mixed_precision="no",
        num_gpus=8,
        strategy="zero3",
    ),
    "fsdp_qlora_70b.yml": TrainingRun(
        model="meta-llama/Llama-3.1-70B",
        method="qlora",
        rank=8,
        alpha=16,
        dropout=0.05,
        quantization="nf4",
        prepare_kbit=False,
        optimizer="adamw_torch",
        micro_batch_size=1,
        gradient_accumulation_steps=4,
        sequence_length=512,
        gradient_checkpointing=True,
        use_reentrant=True,
        attention="flash_attention_2",
        num_gpus=2,
        strategy="fsdp",
    ),
    "pretrain_fsdp2.yml": TrainingRun(
        model="meta-llama/Llama-3.2-3B",
        method="full",
        optimizer="adamw_torch_fused",
        micro_batch_size=2,
        gradient_accumulation_steps=16,
        sequence_length=4096,
        packing=True,
        # FSDP's own checkpoints
        gradient_checkpointing=True,
        use_reentrant=False,
        attention="flash_attention_3",
        num_gpus=4,
        strategy="fsdp2",
    ),
    "tiny_defaults.yml": TrainingRun(
        model="TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        method="full",
        optimizer="adamw_torch_fused",
        sequence_length=512,
        gradient_checkpointing=False,
    ),
    "dpo_dora.yml": TrainingRun(
        model="Qwen/Qwen2.5-0.5B",
        method="lora",
        use_dora=True,
        rank=64,
        alpha=128,
        target_modules=r".*\.(q_proj|v_proj)",
        adapter_dtype="float16",
        base_dtype="float16",
        mixed_precision="fp16",
        optimizer="adamw_torch",
        micro_batch_size=2,
        gradient_accumulation_steps=4,
        sequence_length=1024,
        gradient_checkpointing=True,
        use_reentrant=False,
        checkpoint_offload=True,
        empty_cache=True,
    ),
}
"""File -> the run that a person would write by hand for it."""

JOBS: dict[str, dict[str, object]] = {
    "qlora_llama.yml": {"epochs": 4, "eval_split": 0.05},
    "lora_mistral.yml": {"epochs": 3, "eval_split": 0.0, "save_steps": 100},
    # two an epoch, of two epochs: each quarter of 1,000 steps
    "full_liger.yml": {"epochs": 2, "max_steps": 1000, "eval_split": 0, "save_steps": 250},
    "fsdp_qlora_70b.yml": {"epochs": 1, "eval_split": 0.0, "save_steps": 0},
    "pretrain_fsdp2.yml": {"epochs": 1, "max_steps": 20_000, "eval_split": 0.0, "save_steps": 2000},
    "tiny_defaults.yml": {"epochs": 1.0, "eval_split": 0.1},
    "dpo_dora.yml": {"epochs": 0.5, "eval_split": 0.0},
}

UNCOUNTED = {
    "qlora_llama.yml": ["lora_mlp_kernel"],
    "lora_mistral.yml": [],
    "full_liger.yml": ["deepspeed.zero_optimization"],
    "fsdp_qlora_70b.yml": [],
    "pretrain_fsdp2.yml": ["torch_compile"],
    "tiny_defaults.yml": ["adapter"],
    "dpo_dora.yml": ["rl", "neftune_noise_alpha"],
}


@pytest.mark.parametrize("name", RUNS)
def test_a_config_is_the_run_written_by_hand(name: str) -> None:
    config = read_config(DATA / name, "axolotl")
    # the file with DeepSpeed leaves the number of GPUs to the launcher
    besides = {"num_gpus": 8} if name == "full_liger.yml" else {}
    assert TrainingRun(**{**config.run_defaults, **config.run, **besides}) == RUNS[name]
    assert {**config.job_defaults, **config.job} == JOBS[name]
    assert [setting.key for setting in config.uncounted] == UNCOUNTED[name]


@pytest.mark.parametrize("name", RUNS)
def test_a_config_is_known_by_its_content(name: str) -> None:
    assert "base_model" in FORMAT.signs(read_document(DATA / name))


@pytest.mark.parametrize(
    "settings",
    [
        {"base_model": "a/b", "models": [{"model": "c/d"}], "merge_method": "slerp"},
        {"model_name_or_path": "a/b", "num_train_epochs": 3, "datasets": "alpaca"},
        {"base_model_name_or_path": "a/b", "r": 8, "peft_type": "LORA"},
        {"zero_optimization": {"stage": 2}},
    ],
)
def test_configs_of_others_are_not_taken(settings: dict[str, Any]) -> None:
    assert FORMAT.signs(Document("a.yml", Path(), settings)) == ()


def test_every_setting_is_said_once() -> None:
    for name in RUNS:
        config = read_config(DATA / name, "axolotl")
        kinds = [{setting.key for setting in kind} for kind in (config.understood, config.ignored, config.uncounted)]
        assert not (kinds[0] & kinds[1] or kinds[0] & kinds[2] or kinds[1] & kinds[2])
        spoken = {key.partition(".")[0] for kind in kinds for key in kind}
        written = {key for key, value in read_document(DATA / name).settings.items() if value is not None}
        assert written <= spoken


# command lines


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("axolotl train qlora_llama.yml --micro-batch-size 1 --lora-r=8", {"micro_batch_size": 1, "rank": 8}),
        (
            "accelerate launch --num_processes 4 -m axolotl.cli.train qlora_llama.yml --lora-r 4",
            {"num_gpus": 4, "rank": 4},
        ),
        ("torchrun --nproc_per_node=2 -m axolotl.cli.train qlora_llama.yml --lora-r 4", {"num_gpus": 2}),
        (
            "axolotl train qlora_llama.yml --launcher torchrun --lora-r 8 -- --nproc_per_node=3",
            {"num_gpus": 3, "rank": 8},
        ),
        ("python -m axolotl.cli.train qlora_llama.yml --sequence-len 4096", {}),
    ],
)
def test_a_command_line_reads_its_file(line: str, changes: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(DATA / "qlora_llama.yml", tmp_path)
    (tmp_path / "train.sh").write_text(f"#!/bin/sh\n{line}\n")
    document = read_document(tmp_path / "train.sh")
    assert FORMAT.signs(document)
    config = read_config(tmp_path / "train.sh", "axolotl")
    run = {**config.run_defaults, **config.run}
    assert run | changes == run
    assert run["sequence_length"] == 4096
    assert said(config).keys() <= {"lora_mlp_kernel"}


def test_a_command_line_whose_file_is_not_here(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text("axolotl train nowhere.yml --lora-r 8\n")
    with pytest.raises(InputError, match=r"nowhere\.yml, which is not here"):
        read_config(tmp_path / "train.sh", "axolotl")


@pytest.mark.parametrize(
    "line",
    ["python finetune.py --base_model a/b --micro_batch_size 4 --num_epochs 3", "axolotl preprocess a.yml --debug"],
)
def test_other_commands_train_nothing_with_axolotl(line: str, tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(f"{line}\n")
    assert FORMAT.signs(read_document(tmp_path / "train.sh")) == ()


# method and base


def test_four_bits_with_a_plain_adapter_are_none() -> None:
    config = read(adapter="lora", lora_r=8, lora_target_linear=True, load_in_4bit=True)
    run = {**config.run_defaults, **config.run}
    assert (run["method"], run["quantization"], run["base_dtype"]) == ("lora", "none", "float32")
    assert any("adapter: qlora alone" in note for note in config.notes)


def test_overrides_of_bitsandbytes() -> None:
    kwargs = {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False, "bnb_4bit_compute_dtype": "bfloat16"}
    settings = {"adapter": "qlora", "load_in_4bit": True, "lora_r": 8, "lora_target_linear": True}
    config = read(**settings, bnb_config_kwargs={**kwargs, "llm_int8_skip_modules": ["lm_head"]})
    run = TrainingRun(**{**config.run_defaults, **config.run})
    assert (run.quantization, run.double_quant) == ("fp4", False)
    assert "bnb_config_kwargs.llm_int8_skip_modules" in said(config)
    assert "bnb_config_kwargs.bnb_4bit_compute_dtype" not in said(config)


def test_without_an_adapter_what_is_an_adapters_counts_for_nothing() -> None:
    config = read(lora_r=8, lora_alpha=16, lora_target_linear=True, attn_implementation="flash_attention_2")
    assert TrainingRun(**{**config.run_defaults, **config.run}).method == "full"
    assert said(config) == {}


@pytest.mark.parametrize(
    ("settings", "stays"),
    [
        ({}, True),
        ({"sdp_attention": True}, True),
        ({"attn_implementation": "eager"}, True),
        ({"flash_attention": True}, False),
        ({"attn_implementation": "flex_attention"}, False),
        ({"fsdp_config": {"offload_params": False}}, False),
        ({"bf16": False}, False),  # all of it is float32
        ({"adapter": "lora", "lora_r": 8}, False),
    ],
)
def test_embeddings_that_stay_in_float32_are_said(settings: dict[str, Any], stays: bool) -> None:
    assert ("adapter" in said(read(**settings))) == stays


def test_targets() -> None:
    lora = {"adapter": "lora", "lora_r": 8}
    assert run_of(**lora, lora_target_linear=True, lora_target_modules=["q_proj"])["target_modules"] == "all-linear"
    assert run_of(**lora, lora_target_modules="q_proj")["target_modules"] == "q_proj"
    experts = run_of(**lora, lora_target_parameters=["experts.gate_up_proj"])
    assert (experts["target_modules"], experts["target_parameters"]) == ((), ("experts.gate_up_proj",))
    head = read(**lora, lora_target_linear=True, lora_target_modules=["lm_head"])
    assert "lora_target_modules" in said(head)
    nothing = read(adapter="lora")
    assert {"rank", "target_modules"}.isdisjoint({**nothing.run_defaults, **nothing.run})
    assert len([note for note in nothing.notes if "trains no LoRA without" in note]) == 2


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"adapter": "lora"}, True),
        ({"adapter": "qlora", "load_in_4bit": True}, True),
        ({"adapter": "lora", "load_in_8bit": True}, False),
        ({"adapter": "lora", "trust_remote_code": True}, False),
        ({"adapter": "lora", "rl": "dpo"}, False),
        ({"adapter": "lora", "fsdp_config": {"fsdp_version": 2}}, True),
        ({"adapter": "lora", "fsdp_config": {"offload_params": False}}, False),
        ({"adapter": "lora", **dict.fromkeys(LORA_KERNELS, False)}, False),
        ({"adapter": "lora", "lora_mlp_kernel": True}, True),
        ({}, False),
    ],
)
def test_fused_lora_kernels_are_on_by_themselves(settings: dict[str, Any], warned: bool) -> None:
    assert ("lora_mlp_kernel" in said(read(**settings, lora_r=8, lora_target_linear=True))) == warned


# precision and attention


@pytest.mark.parametrize(
    ("settings", "dtype", "mixed"),
    [
        ({}, "bfloat16", "bf16"),
        ({"bf16": "auto"}, "bfloat16", "bf16"),
        ({"bf16": "${BF16}"}, "bfloat16", "bf16"),
        ({"fp16": True}, "float16", "fp16"),
        ({"bf16": True, "fp16": True}, "bfloat16", "bf16"),
        ({"bf16": None, "fp16": None}, "float32", "no"),
        ({"bf16": False, "fp16": True}, "float16", "fp16"),
        ({"bf16": False, "float16": True}, "float16", "no"),
        ({"bf16": False, "bfloat16": True}, "bfloat16", "bf16"),
        ({"bf16": "full"}, "bfloat16", "no"),
        ({"bf16": False, "float32": True}, "float32", "no"),
        ({"bf16": False, "load_in_8bit": True, "adapter": "lora"}, "float16", "no"),
    ],
)
def test_precision(settings: dict[str, Any], dtype: str, mixed: str) -> None:
    run = run_of(**settings)
    assert (run["base_dtype"], run["mixed_precision"]) == (dtype, mixed)


@pytest.mark.parametrize(
    ("settings", "attention", "warned"),
    [
        ({"flash_attention": True}, "flash_attention_2", False),
        ({"flash_attention": True, "xformers_attention": True}, "flash_attention_2", True),
        ({"sdp_attention": True, "flash_attention": False}, "sdpa", False),
        ({"eager_attention": True}, "eager", False),
        ({"attn_implementation": "kernels-community/flash-attn2:flash_attn"}, "flash_attention_2", False),
        ({"attn_implementation": "someone/kernel"}, "sdpa", True),
        ({"attn_implementation": "flash_attention_4"}, "flash_attention_3", True),
        ({"gemma4_hybrid_attn_impl": True}, "flash_attention_2", True),
        ({}, "sdpa", False),
    ],
)
def test_attention(settings: dict[str, Any], attention: str, warned: bool) -> None:
    config = read(**settings, adapter="lora", lora_mlp_kernel=False)
    assert {**config.run_defaults, **config.run}["attention"] == attention
    assert bool(said(config)) == warned


# checkpointing


@pytest.mark.parametrize("spelling", [{"gradient_checkpointing": "offload"}, {"activation_offloading": True}])
def test_activations_in_host_memory(spelling: dict[str, Any]) -> None:
    settings = {"gradient_checkpointing": True, **spelling}
    full = run_of(**settings)
    assert (full["gradient_checkpointing"], full["checkpoint_offload"], full["use_reentrant"]) == (True, True, False)
    adapter = read(**settings, adapter="lora", lora_mlp_kernel=False)
    assert {**adapter.run_defaults, **adapter.run}["checkpoint_offload"] is True
    assert said(adapter).keys() == spelling.keys()


def test_reentrance_is_axolotls_own_default() -> None:
    on = {"gradient_checkpointing": True}
    assert run_of(**on)["use_reentrant"] is True
    assert run_of(**on, rl="dpo")["use_reentrant"] is False
    assert run_of(**on, unfrozen_parameters=["lm_head"])["use_reentrant"] is False
    assert run_of(**on, gradient_checkpointing_kwargs={})["use_reentrant"] is True
    assert run_of(**on, gradient_checkpointing_kwargs={"use_reentrant": False})["use_reentrant"] is False
    off = read(gradient_checkpointing=False, gradient_checkpointing_kwargs={"use_reentrant": True})
    assert "use_reentrant" not in off.run


# plugins


def test_liger_is_planned_whole_or_not_at_all() -> None:
    names = ("liger_rope", "liger_rms_norm", "liger_swiglu", "liger_fused_linear_cross_entropy")
    whole = read(plugins=[LIGER], flash_attention=True, **dict.fromkeys(names, True))
    assert (whole.run["kernels"], said(whole)) == ("liger", {})
    loss = read(plugins=[LIGER], flash_attention=True, liger_fused_linear_cross_entropy=True)
    assert loss.run["kernels"] == "liger"
    assert said(loss).keys() == {"liger_rope", "liger_rms_norm", "liger_glu_activation"}
    parts = read(plugins=[LIGER], flash_attention=True, liger_rope=True)
    assert (parts.run_defaults["kernels"], said(parts).keys()) == ("hf", {"liger_rope"})
    without = read(flash_attention=True, **dict.fromkeys(names, True))
    assert (without.run_defaults["kernels"], said(without)) == ("hf", {})
    assert said(read(plugins=None, flash_attention=True, liger_rope=True)) == {}
    assert said(read(plugins="${PLUGINS}", flash_attention=True, liger_rope=True)).keys() == {"plugins", "liger_rope"}


def test_the_cut_loss_is_on_with_its_plugin() -> None:
    """It is planned with all logits at once, which is more than the cut loss holds."""
    assert "the real peak at the loss is lower" in said(read(plugins=[CUT], flash_attention=True))["cut_cross_entropy"]
    assert said(read(plugins=[CUT], cut_cross_entropy=False, flash_attention=True)) == {}
    assert said(read(cut_cross_entropy=True, flash_attention=True)) == {}


def test_other_plugins_are_said() -> None:
    config = read(plugins=["axolotl.integrations.spectrum.SpectrumPlugin", LIGER], flash_attention=True)
    assert "spectrum" in said(config)["plugins"]
    assert "plugins" not in said(read(plugins=["axolotl.integrations.swanlab.SwanLabPlugin"]))


# several GPUs


def test_the_deepspeed_configs_that_axolotl_brings() -> None:
    two = read(deepspeed="deepspeed_configs/zero2.json", bf16=True, flash_attention=True)
    assert (two.run["strategy"], two.run["mixed_precision"]) == ("zero2", "no")
    assert "deepspeed.zero_optimization.offload_optimizer" in said(two)
    assert any("that Axolotl brings" in note for note in two.notes)
    assert "deepspeed" in said(read(deepspeed="my/own.json"))


def test_a_deepspeed_config_of_ones_own_goes_before(tmp_path: Path) -> None:
    (tmp_path / "zero2.json").write_text('{"zero_optimization": {"stage": 1}}')
    config = read(tmp_path, deepspeed="zero2.json")
    assert config.run["strategy"] == "zero1"


@pytest.mark.parametrize(
    ("settings", "strategy"),
    [
        ({"fsdp": ["full_shard", "auto_wrap"]}, "fsdp"),
        ({"fsdp_config": {"fsdp_offload_params": False}}, "fsdp"),
        ({"fsdp_config": {"offload_params": False}, "fsdp_version": 2}, "fsdp2"),
        ({"fsdp_config": {"version": 2}}, "fsdp2"),
        ({"fsdp_config": {"fsdp_version": 1}}, "fsdp"),
        ({"fsdp": [], "fsdp_config": {}}, None),
        ({"fsdp_version": 2}, None),
    ],
)
def test_fsdp(settings: dict[str, Any], strategy: str | None) -> None:
    config = read(**settings)
    assert {**config.run_defaults, **config.run}.get("strategy") == strategy
    assert "fsdp" not in said(config)


def test_sizes_of_meshes() -> None:
    config = read(fsdp_config={"version": 2}, dp_shard_size=4, dp_replicate_size=2, context_parallel_size=2)
    assert config.run["num_gpus"] == 16
    assert said(config).keys() == {"context_parallel_size", "dp_replicate_size"}


# the loop


def test_batches() -> None:
    assert run_of(micro_batch_size=2, batch_size=8)["gradient_accumulation_steps"] == 1
    nulled = run_of(micro_batch_size=2, batch_size=8, gradient_accumulation_steps=None)
    assert nulled["gradient_accumulation_steps"] == 4
    assert run_of(micro_batch_size="4")["micro_batch_size"] == 4


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"val_set_size": 0.1, "eval_steps": 10}, 3),
        ({"val_set_size": 0.1, "evals_per_epoch": 2}, 3),
        ({"val_set_size": 0.1, "evals_per_epoch": 1}, 0),  # once in one epoch: no share of the steps
        ({"val_set_size": 0.1, "evals_per_epoch": 1, "num_epochs": 2}, 3),
        ({"val_set_size": 0.1, "evaluation_strategy": "epoch"}, 3),
        ({"val_set_size": 0.1, "eval_strategy": "no"}, 0),
        ({"val_set_size": 0.1}, 0),
        ({"eval_steps": 10}, 0),
        ({"test_datasets": [{"path": "a"}], "eval_steps": 10, "eval_batch_size": 7}, 7),
        ({"val_set_size": 2000, "eval_steps": 10}, 3),
    ],
)
def test_evaluation(settings: dict[str, Any], size: int) -> None:
    assert run_of(**settings, micro_batch_size=3)["eval_batch_size"] == size


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"save_steps": 200}, 200),
        ({"save_steps": 0.25, "max_steps": 10}, 3),
        ({"saves_per_epoch": 2, "num_epochs": 2, "max_steps": 400}, 100),
        ({"save_strategy": "no"}, 0),
        ({"save_strategy": "epoch"}, None),
        ({"saves_per_epoch": 2}, None),
        ({}, None),
    ],
)
def test_saving(settings: dict[str, Any], steps: int | None) -> None:
    assert job_of(**settings).get("save_steps") == steps


def test_a_long_evaluation_is_said() -> None:
    assert "eval_sequence_len" in said(read(sequence_len=1024, eval_sequence_len=2048))
    assert "eval_sequence_len" not in said(read(sequence_len=1024, eval_sequence_len=1024))


# what is not known, and what makes no sense


def test_keys_of_other_releases_and_placeholders() -> None:
    config = read(flash_attention_9=True, sequence_len="${LEN}", neftune_noise_alpha="{{ alpha }}", debug=True)
    texts = said(config)
    assert texts["flash_attention_9"] == "not a setting of axolotl 0.19.0, as far as is known here"
    assert "placeholder" in texts["sequence_len"]
    assert "neftune_noise_alpha" in texts
    assert config.run_defaults["sequence_length"] == 512
    assert "debug" not in texts


def test_placeholders_say_which_fields_settle_them() -> None:
    config = read(adapter="${ADAPTER}", lora_r="${RANK}", micro_batch_size="${BATCH}", bf16="$BF16")
    fields = {setting.key: setting.fields for setting in config.uncounted}
    assert fields == {
        "adapter": ("method",),
        "bf16": ("base_dtype", "mixed_precision"),
        "micro_batch_size": ("micro_batch_size",),
    }


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"fp16": "maybe"}, "fp16 must be true or false"),
        ({"gradient_checkpointing": "sometimes"}, "gradient_checkpointing must be true or false"),
        ({"gradient_checkpointing": True, "gradient_checkpointing_kwargs": [1]}, "must be a mapping"),
        ({"plugins": 3}, "plugins must be a list of names"),
        ({"val_set_size": "some"}, "val_set_size must be a number"),
        ({"max_steps": 1.5}, "max_steps must be a whole number"),
        ({"fsdp_config": "full"}, "fsdp_config must be a mapping"),
        ({"deepspeed": [1]}, "deepspeed must be a file, or a mapping"),
        ({"model_config": 3}, "model_config must be a mapping"),
    ],
)
def test_values_that_are_needed_and_make_no_sense(settings: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        read(**settings)


def test_values_that_the_run_refuses_are_left_to_it() -> None:
    config = read(optimizer="muon", adapter="mora", micro_batch_size=0)
    assert (config.run["optimizer"], config.run["method"], config.run["micro_batch_size"]) == ("muon", "mora", 0)
    assert config.keys["optimizer"] == "optimizer" and config.keys["method"] == "adapter"


def test_overrides_of_the_model() -> None:
    config = read(model_config={"rope_scaling": {"type": "linear"}, "num_hidden_layers": 2}, model_kwargs={})
    assert "model_config.num_hidden_layers" in said(config)
    assert not {"model_config", "model_config.rope_scaling", "model_kwargs"} & said(config).keys()
    assert "model_type" in said(read(model_type="AutoModelForSequenceClassification"))


KEYS = st.sampled_from(
    sorted(
        {setting for name in RUNS for setting in read_document(DATA / name).settings}
        | {*MOVES, *HARMLESS, *FORMER, *OF_PLUGINS, *LORA_KERNELS, "activation_offloading", "gptq", "batch_size"}
        | {"bnb_config_kwargs", "model_kwargs", "device_map", "tensor_parallel_size", "save_strategy", "gc_steps"}
    )
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["auto", "lora", "qlora", "true", "4", "1e-3", "offload", "hidden_states", "dpo", "${X}", LIGER])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_any_values_give_a_config_or_an_error(settings: dict[str, Any]) -> None:
    reader = Reader(Document("a.yml", Path("/nowhere"), settings), FORMAT)
    try:
        FORMAT.read(reader)
        config = reader.finish()
    except InputError:
        return
    kinds = [[setting.key for setting in kind] for kind in (config.understood, config.ignored, config.uncounted)]
    spoken = {key.partition(".")[0] for kind in kinds for key in kind}
    assert {key for key, value in settings.items() if value is not None} <= spoken
    assert not config.run.keys() & config.run_defaults.keys()

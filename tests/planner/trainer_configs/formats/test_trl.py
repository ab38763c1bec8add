"""TRL's configs: each data file as the run that a person would write for it, and against TRL's own dataclasses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import read_config
from planner.trainer_configs.document import Document, read_document
from planner.trainer_configs.formats.trl import FORMAT
from planner.trainer_configs.formats.trl.keys import HARMLESS, MOVES, OF_DATA, OF_OTHER_STEPS, SFT_SIGNS
from planner.trainer_configs.formats.trl.model import PEFT_TARGETS
from planner.trainer_configs.formats.trl.training import CHUNKED
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import TrainerConfig

DATA = Path(__file__).parent / "data" / "trl"

TRL_RUN: dict[str, Any] = {"gradient_checkpointing": True, "mixed_precision": "bf16", "optimizer": "adamw_torch_fused"}
"""What every run of TRL's has by default, in fields whose defaults here could be others."""

ALL_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

RUNS = {
    "sft_full.yaml": TrainingRun(
        model="Qwen/Qwen2.5-0.5B",
        method="full",
        micro_batch_size=2,
        gradient_accumulation_steps=8,
        sequence_length=1024,
        packing=True,
        attention="flash_attention_2",
        eval_batch_size=8,
        **TRL_RUN,
    ),
    "handbook_qlora.yaml": TrainingRun(
        model="mistralai/Mistral-7B-v0.1",
        method="qlora",
        quantization="nf4",
        double_quant=False,
        rank=32,
        alpha=64,
        dropout=0.05,
        target_modules=ALL_SEVEN,
        prepare_kbit=False,
        adapter_dtype="bfloat16",
        attention="flash_attention_2",
        micro_batch_size=4,
        gradient_accumulation_steps=2,
        sequence_length=2048,
        eval_batch_size=8,
        **TRL_RUN,
    ),
    "qlora_defaults.yaml": TrainingRun(
        model="meta-llama/Llama-3.2-1B",
        method="qlora",
        base_dtype="float32",
        double_quant=False,
        rank=16,
        alpha=32,
        dropout=0.05,
        target_modules=("q_proj", "v_proj"),
        prepare_kbit=False,
        adapter_dtype="bfloat16",
        micro_batch_size=1,
        sequence_length=1024,
        **TRL_RUN,
    ),
    "lora.sh": TrainingRun(
        model="meta-llama/Llama-3.1-8B",
        method="lora",
        rank=32,
        alpha=16,
        dropout=0.05,
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj"),
        micro_batch_size=4,
        gradient_accumulation_steps=4,
        sequence_length=2048,
        use_reentrant=True,
        **TRL_RUN,
    ),
    "zero3.sh": TrainingRun(
        model="meta-llama/Llama-3.1-8B",
        method="lora",
        rank=16,
        alpha=32,
        dropout=0.05,
        adapter_dtype="bfloat16",
        attention="flash_attention_2",
        micro_batch_size=1,
        gradient_accumulation_steps=4,
        sequence_length=4096,
        packing=True,
        use_reentrant=True,
        num_gpus=8,
        strategy="zero3",
        **TRL_RUN,
    ),
    "odd.yaml": TrainingRun(
        model="Qwen/Qwen2.5-7B",
        method="lora",
        quantization="int8",
        prepare_kbit=False,
        adapter_dtype="bfloat16",
        rank=64,
        alpha=128,
        dropout=0,
        use_rslora=True,
        target_modules=r".*\.(q|v)_proj",
        attention="flash_attention_2",
        kernels="liger",
        micro_batch_size=2,
        sequence_length=1024,
        checkpoint_offload=True,
        num_gpus=2,
        **(TRL_RUN | {"optimizer": "paged_adamw_8bit"}),
    ),
    "deepspeed.sh": TrainingRun(
        model="facebook/opt-1.3b",
        method="full",
        base_dtype="float16",
        mixed_precision="fp16",
        micro_batch_size=4,
        sequence_length=1024,
        eval_batch_size=2,
        gradient_checkpointing=True,
        num_gpus=4,
        strategy="zero2",
    ),
    "training_args.json": TrainingRun(
        model="Qwen/Qwen2.5-1.5B",
        method="full",
        micro_batch_size=16,
        optimizer="adafactor",
        max_grad_norm=0.3,
        gradient_checkpointing=False,
    ),
}

JOBS = {
    "sft_full.yaml": {"epochs": 1, "save_steps": 500},
    "handbook_qlora.yaml": {"epochs": 1, "save_steps": 100},
    "lora.sh": {"epochs": 2, "save_steps": 500},
    "zero3.sh": {"epochs": 3, "max_steps": 500, "save_steps": 0},
    "odd.yaml": {"epochs": 3, "save_steps": 0, "eval_split": 0.1},
    "training_args.json": {"epochs": 3, "max_steps": 2000, "save_steps": 250},
}


def read(settings: dict[str, Any], *words: str, **launcher: Any) -> TrainerConfig:
    """What is made of settings; words and launcher: of a command line."""
    reader = Reader(Document("sft.yaml", DATA, settings, words, launcher), FORMAT)
    FORMAT.read(reader)
    return reader.finish()


def run_of(config: TrainerConfig) -> TrainingRun:
    return TrainingRun(**{**config.run_defaults, **config.run})


def uncounted(config: TrainerConfig) -> dict[str, str]:
    return {setting.key: setting.text for setting in config.uncounted}


BASE = {"model_name_or_path": "Qwen/Qwen2.5-0.5B", "dtype": "bfloat16", "dataset_text_field": "text"}
"""A config that is known for TRL's."""


@pytest.mark.parametrize("name", RUNS)
def test_a_config_is_the_run_that_a_person_would_write(name: str) -> None:
    config = read_config(DATA / name)
    assert config.format == "trl"
    assert run_of(config) == RUNS[name]


@pytest.mark.parametrize("name", JOBS)
def test_a_config_is_the_job_that_a_person_would_write(name: str) -> None:
    config = read_config(DATA / name)
    assert {**config.job_defaults, **config.job} == JOBS[name]


def test_nothing_in_the_files_is_unknown() -> None:
    for name in RUNS:
        for setting in read_config(DATA / name).uncounted:
            assert "not a setting of" not in setting.text, (name, setting)


def test_every_field_that_the_trainer_decides_has_a_value() -> None:
    for name in ("sft_full.yaml", "handbook_qlora.yaml", "lora.sh"):
        config = read_config(DATA / name)
        left = set(TrainingRun(**{**config.run_defaults, **config.run}).defaulted)
        decided_here = {"group_size", "target_parameters", "modules_to_save", "checkpoint_every", "checkpoint_offload"}
        assert left <= decided_here | {
            *("transformers_version", "peft_version", "num_gpus", "strategy", "empty_cache", "chunked_loss"),
            *("attention",),  # SDPA where the family has it, which the plan looks up
        }


# TRL against transformers


def test_the_defaults_are_trl_s_where_a_setting_is_trl_s_and_transformers_otherwise() -> None:
    assert run_of(read(BASE)).gradient_checkpointing
    plain = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "per_device_train_batch_size": 4})
    run = run_of(plain)
    assert (run.gradient_checkpointing, run.mixed_precision, run.base_dtype) == (False, "no", "bfloat16")
    assert "loss_type" not in uncounted(plain)
    assert [note for note in plain.notes if "TrainingArguments" in note]


def test_the_command_says_whose_the_defaults_are() -> None:
    settings = {"model_name_or_path": "Qwen/Qwen2.5-0.5B"}
    assert run_of(read(settings, "trl", "sft")).gradient_checkpointing
    assert run_of(read(settings, "python", "scripts/run_sft.py")).gradient_checkpointing
    assert not run_of(read(settings, "python", "run_clm.py")).gradient_checkpointing


def test_trl_loads_in_float32_where_nothing_says_otherwise() -> None:
    config = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "packing": False})
    assert run_of(config).base_dtype == "float32"
    assert next(default.source for default in config.defaulted if default.field == "base_dtype") == (
        "trl/trainer/model_config.py: dtype"
    )


def test_the_dtype_as_published_is_the_catalogue_s() -> None:
    assert run_of(read({**BASE, "dtype": "auto"})).base_dtype == "bfloat16"
    assert run_of(read({**BASE, "dtype": "auto", "model_name_or_path": "facebook/opt-1.3b"})).base_dtype == "float16"
    unknown = read({**BASE, "dtype": "auto", "model_name_or_path": "someone/own-model"})
    assert unknown.run_defaults["base_dtype"] == "bfloat16"
    assert "dtype" in uncounted(unknown)


def test_the_loss_in_chunks_is_said_and_not_planned() -> None:
    assert uncounted(read(BASE)) == {"loss_type": CHUNKED}
    assert uncounted(read({**BASE, "loss_type": "dft"})) == {"loss_type": CHUNKED}
    assert "liger" in uncounted(read({**BASE, "use_liger_kernel": True}))["loss_type"]
    # smoothed labels take the logits at once (`SFTTrainer.compute_loss`)
    assert set(uncounted(read({**BASE, "label_smoothing_factor": 0.1}))) == {"label_smoothing_factor"}


# methods and dtypes


def test_lora_without_use_peft_is_full_fine_tuning_as_in_trl() -> None:
    config = read({**BASE, "lora_r": 8})
    assert run_of(config).method == "full"
    assert "use_peft is not on" in uncounted(config)["lora_r"]


def test_a_script_of_one_s_own_makes_an_adapter_where_it_has_settings_of_one() -> None:
    config = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "lora_r": 8, "load_in_4bit": True})
    run = run_of(config)
    assert (run.method, run.rank, run.alpha, run.prepare_kbit) == ("qlora", 8, 8, True)


def test_bitsandbytes_computing_in_float32_is_said() -> None:
    config = read_config(DATA / "qlora_defaults.yaml")
    assert "keeps inputs in float32; planned in bfloat16" in uncounted(config)["dtype"]
    assert "dtype" not in uncounted(read_config(DATA / "handbook_qlora.yaml"))


def test_four_bits_without_an_adapter_contradict_each_other() -> None:
    with pytest.raises(InputError, match="quantization"):
        run_of(read({**BASE, "load_in_4bit": True}))


def test_where_peft_has_no_targets_it_is_said() -> None:
    config = read({**BASE, "use_peft": True, "model_name_or_path": "microsoft/Phi-3-mini-4k-instruct"})
    assert run_of(config).target_modules == "all-linear"
    assert next(one.fields for one in config.uncounted if one.key == "lora_target_modules") == ("target_modules",)


def test_peft_s_own_targets_are_peft_s() -> None:
    constants = pytest.importorskip("peft.utils.constants")
    theirs = constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    ours = {kind: value if isinstance(value, str) else list(value) for kind, value in PEFT_TARGETS.items()}
    assert ours == theirs


def test_a_single_target_in_a_list_is_an_expression_as_in_model_config() -> None:
    def targets(value: object) -> object:
        return run_of(read({**BASE, "use_peft": True, "lora_target_modules": value})).target_modules

    assert targets(["all-linear"]) == targets("all-linear") == "all-linear"
    assert targets(["q_proj", "v_proj"]) == targets("q_proj,v_proj") == ("q_proj", "v_proj")


def test_adapters_under_zero_3_are_in_the_base_s_dtype_and_checkpoints_reentrant() -> None:
    lora = {**BASE, "use_peft": True, "lora_target_modules": "all-linear"}
    zero3 = run_of(read(lora, "accelerate", "launch", "sft.py", num_processes="2", use_deepspeed=True, zero_stage="3"))
    zero2 = run_of(read(lora, "accelerate", "launch", "sft.py", num_processes="2", use_deepspeed=True, zero_stage="2"))
    assert (zero3.adapter_dtype, zero3.use_reentrant) == ("bfloat16", True)
    assert (zero2.adapter_dtype, zero2.use_reentrant) == ("float32", False)


# sequences


def test_samples_that_are_not_cut_are_said() -> None:
    for value in (None, "None"):
        config = read({**BASE, "max_length": value})
        assert "sequence_length" not in {**config.run_defaults, **config.run}
        assert "the longest decides" in uncounted(config)["max_length"]


def test_packing_without_flash_attention_has_a_mask_that_is_not_planned() -> None:
    assert "packing" in uncounted(read({**BASE, "packing": True}))
    for more in ({"attn_implementation": "flash_attention_2"}, {"packing_strategy": "wrapped"}):
        assert "packing" not in uncounted(read({**BASE, "packing": True, **more}))


@pytest.mark.parametrize(("multiple", "length"), [(64, 1024), ("128", 1024), ("auto", 1000), (None, 1000), (8, 1000)])
def test_batches_are_padded_to_a_multiple(multiple: object, length: int) -> None:
    run = run_of(read({**BASE, "max_length": 1000, "pad_to_multiple_of": multiple}))
    assert run.sequence_length == length


# autocast and launchers


@pytest.mark.parametrize(
    ("settings", "launched", "planned"),
    [
        ({}, None, "bf16"),
        ({}, "no", "bf16"),
        ({"fp16": True}, "bf16", "fp16"),
        ({"bf16": False}, None, "no"),
        ({"bf16": False}, "fp16", "fp16"),
    ],
)
def test_the_launcher_has_a_say_in_autocast_where_the_config_has_none(
    settings: dict[str, Any], launched: str | None, planned: str
) -> None:
    launcher = {} if launched is None else {"mixed_precision": launched}
    config = read({**BASE, **settings}, "accelerate", "launch", "sft.py", num_processes="1", **launcher)
    assert run_of(config).mixed_precision == planned


def test_a_config_that_a_command_names_is_read_below_its_options(tmp_path: Path) -> None:
    (tmp_path / "sft.yaml").write_text("model_name_or_path: Qwen/Qwen2.5-0.5B\nlora_r: 4\nuse_peft: true\n")
    (tmp_path / "run.sh").write_text("trl sft --config sft.yaml --lora_r 32 --num_processes 2\n")
    config = read_config(tmp_path / "run.sh")
    assert (config.run["rank"], config.run["num_gpus"], config.run["model"]) == (32, 2, "Qwen/Qwen2.5-0.5B")
    (tmp_path / "sft.yaml").unlink()
    assert "config" in uncounted(read_config(tmp_path / "run.sh"))


def test_preference_methods_are_said_not_to_be_planned() -> None:
    command = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "beta": 0.1}, "trl", "dpo")
    assert "a reference model" in uncounted(command)["trl dpo"]
    assert "beta" in {setting.key for setting in command.ignored}
    file = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "num_generations": 8, "epsilon": 0.2})
    assert "generations" in next(iter(uncounted(file).values()))


def test_placeholders_and_unknown_settings_are_uncounted() -> None:
    config = read({**BASE, "per_device_train_batch_size": "${BATCH}", "added_in_trl_2": True})
    assert uncounted(config)["added_in_trl_2"] == "not a setting of trl 1.16.0, as far as is known here"
    assert next(one.fields for one in config.uncounted if one.key == "per_device_train_batch_size") == (
        "micro_batch_size",
    )


@pytest.mark.parametrize(
    ("key", "value"), [("use_peft", "perhaps"), ("load_in_4bit", [1]), ("pad_to_multiple_of", "x"), ("env", "A=1")]
)
def test_a_value_that_makes_no_sense_is_an_error_by_file_and_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^sft.yaml: {key} must be"):
        read({**BASE, key: value})


def test_a_refused_value_is_passed_on_with_the_key_that_gave_it() -> None:
    config = read({**BASE, "use_peft": True, "lora_r": "many"})
    assert (config.run["rank"], config.keys["rank"]) == ("many", "lora_r")


def test_only_configs_of_trainers_on_trainer_show_signs() -> None:
    def signs(settings: dict[str, Any], *words: str) -> tuple[str, ...]:
        return FORMAT.signs(Document("x", Path(), settings, words))

    assert signs({}, "trl", "sft") == ("trl sft",)
    assert signs({"per_device_train_batch_size": 1, "learning_rate": 1}) == ("per_device_train_batch_size",)
    axolotl = {"base_model": "x", "micro_batch_size": 2, "num_epochs": 1, "lora_r": 8, "gradient_accumulation_steps": 1}
    assert signs(axolotl) == signs({"zero_optimization": {"stage": 2}}) == ()


KNOWN = (*SFT_SIGNS, *HARMLESS, *MOVES, *OF_DATA, "model_name_or_path", "dtype", "lora_r", "load_in_4bit", "bf16")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(("auto", "1", "${A}")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(KNOWN), JSON, max_size=8), st.booleans())
def test_any_mapping_is_a_config_or_an_input_error(settings: dict[str, Any], typed: bool) -> None:
    try:
        config = read(settings, *(("trl", "sft") if typed else ()))
    except InputError:
        return
    said = {one.key.split(".")[0] for one in (*config.understood, *config.ignored, *config.uncounted)}
    assert {key for key, value in settings.items() if value is not None} <= said


# TRL's own dataclasses and parser


def _dataclasses() -> tuple[Any, ...]:
    trl = pytest.importorskip("trl")
    utils = pytest.importorskip("trl.scripts.utils")
    return (trl.ScriptArguments, trl.SFTConfig, trl.ModelConfig, utils.DatasetMixtureConfig)


def _knows(name: str, value: object) -> bool:
    try:
        return "not a setting of" not in uncounted(read({**BASE, name: value})).get(name, "")
    except InputError:
        return False


def test_every_field_of_trl_s_dataclasses_is_known() -> None:
    names = {field.name for made in _dataclasses() for field in dataclasses.fields(made) if field.init}
    unknown = [name for name in sorted(names) if not any(_knows(name, value) for value in (True, 3, "text", {}))]
    assert unknown == []
    trl = pytest.importorskip("trl")
    others = (trl.DPOConfig, trl.KTOConfig, trl.RewardConfig, trl.GRPOConfig, trl.RLOOConfig, trl.DistillationConfig)
    beside = {field.name for made in others for field in dataclasses.fields(made)} - names
    assert beside <= {name for group in OF_OTHER_STEPS.values() for name in group}


def test_the_defaults_are_those_of_trl_s_dataclasses() -> None:
    _, sft, model, _ = _dataclasses()
    theirs = {field.name: field.default for made in (sft, model) for field in dataclasses.fields(made)}
    of = {
        "rank": "lora_r",
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "use_rslora": "use_rslora",
        "use_dora": "use_dora",
        "base_dtype": "dtype",
        "sequence_length": "max_length",
        "packing": "packing",
        "gradient_checkpointing": "gradient_checkpointing",
        "micro_batch_size": "per_device_train_batch_size",
        "gradient_accumulation_steps": "gradient_accumulation_steps",
        "max_grad_norm": "max_grad_norm",
        "optimizer": "optim",
    }
    ours = read({"model_name_or_path": "Qwen/Qwen2.5-0.5B", "use_peft": True}, "trl", "sft").run_defaults
    for field, name in of.items():
        assert ours[field] == getattr(theirs[name], "value", theirs[name]), field
    jobs = read(BASE).job_defaults
    assert (jobs["epochs"], jobs["save_steps"]) == (theirs["num_train_epochs"], theirs["save_steps"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sft_full.yaml", "qlora_defaults.yaml", "odd.yaml", "lora.sh", "zero3.sh"])
def test_trl_s_own_parser_agrees(name: str, tmp_path: Path) -> None:
    made = _dataclasses()
    trl = pytest.importorskip("trl")
    document = read_document(DATA / name)
    path = tmp_path / "sft.json"  # which is YAML too
    path.write_text(json.dumps({**document.settings, "use_cpu": True, "output_dir": str(tmp_path), "env": {}}))
    parsed = trl.TrlParser(made).parse_args_and_config(["--config", str(path)], return_remaining_strings=True)
    _, sft, model, _ = parsed[:4]
    run = RUNS[name]
    assert run.model == model.model_name_or_path
    assert run.micro_batch_size == sft.per_device_train_batch_size
    assert run.gradient_accumulation_steps == sft.gradient_accumulation_steps
    assert run.optimizer == sft.optim
    assert run.max_grad_norm == sft.max_grad_norm
    assert run.gradient_checkpointing == sft.gradient_checkpointing
    assert run.mixed_precision == ("bf16" if sft.bf16 else "fp16" if sft.fp16 else "no")
    assert run.packing == sft.packing
    assert (run.sequence_length - sft.max_length) in range(sft.pad_to_multiple_of or 1)
    assert run.kernels == ("liger" if sft.use_liger_kernel else "hf")
    assert (run.eval_batch_size > 0) == (sft.eval_strategy != "no")
    assert (run.method != "full") == model.use_peft
    if model.use_peft:
        assert (run.rank, run.alpha, run.dropout) == (model.lora_r, model.lora_alpha, model.lora_dropout)
        if model.lora_target_modules is not None:
            wanted = model.lora_target_modules
            assert run.target_modules == (wanted if isinstance(wanted, str) else tuple(wanted))
    assert run.base_dtype == (sft.model_init_kwargs or {}).get("dtype", model.dtype)
    assert run.quantization == ("nf4" if model.load_in_4bit else "int8" if model.load_in_8bit else "none")


def test_a_dump_of_training_arguments_lacks_the_length_alone() -> None:
    transformers = pytest.importorskip("transformers")
    dumped = json.loads(transformers.TrainingArguments(output_dir="out", use_cpu=True).to_json_string())
    config = read({**dumped, "use_cpu": False, "model_name_or_path": "Qwen/Qwen2.5-0.5B"})
    assert uncounted(config) == {"max_length": "nothing says how long a sequence is; --seq-len does"}
    run = run_of(config)
    assert (run.micro_batch_size, run.gradient_checkpointing, run.mixed_precision) == (8, False, "no")


def settled(folder: Path, text: str, name: str = "train.sh") -> TrainerConfig:
    (folder / name).write_text(text)
    return read_config(folder / name)


class TestScriptsThatOthersWereMadeFrom:
    """Their options, as their authors' READMEs have them, are no walls of warnings."""

    def test_qlora(self, tmp_path: Path) -> None:
        config = settled(
            tmp_path,
            "python qlora.py --model_name_or_path huggyllama/llama-7b --bits 4 --double_quant --quant_type nf4 "
            "--lora_modules all --lora_r 64 --source_max_len 16 --target_max_len 512 --do_mmlu_eval "
            "--max_new_tokens 32 --eval_dataset_size 1024 --bf16 --gradient_checkpointing --dataset oasst1",
        )
        wanted = {"method": "qlora", "quantization": "nf4", "double_quant": True, "sequence_length": 528, "rank": 64}
        assert {field: config.run[field] for field in wanted} == wanted
        assert config.run["target_modules"] == "all-linear"
        assert uncounted(config) == {}
        assert (config.title, config.version) == ("TrainingArguments", "transformers 5.23.0")

    def test_llava(self, tmp_path: Path) -> None:
        config = settled(
            tmp_path,
            "deepspeed llava/train/train.py --lora_enable True --lora_r 128 --mm_projector_lr 2e-5 --version $1 "
            "--model_name_or_path lmsys/vicuna-7b-v1.5 --vision_tower openai/clip-vit-large-patch14-336 "
            "--pretrain_mm_mlp_adapter $3 --mm_vision_select_layer -2 --image_aspect_ratio pad "
            "--group_by_modality_length True --model_max_length 2048 --lazy_preprocess True --bf16 True",
        )
        assert (config.run["method"], config.run["rank"]) == ("lora", 128)
        assert list(uncounted(config)) == ["vision_tower"]

    def test_pefts_examples(self, tmp_path: Path) -> None:
        config = settled(
            tmp_path,
            "python train.py --model_name_or_path meta-llama/Llama-3.2-1B --use_peft_lora True --splits train,test "
            "--use_4bit_quantization True --use_nested_quant True --bnb_4bit_compute_dtype bfloat16 "
            "--bnb_4bit_quant_storage_dtype bfloat16 --use_flash_attn True --gradient_checkpointing True "
            "--use_reentrant True --packing True --bf16 True --chat_template_format chatml",
        )
        assert config.run["quantization"] == "nf4"
        assert (config.run["use_reentrant"], config.run["attention"]) == (True, "flash_attention_2")
        assert uncounted(config) == {"loss_type": CHUNKED}

    def test_a_dtype_of_its_own_for_products_is_held_against_autocast(self, tmp_path: Path) -> None:
        command = "python train.py --model_name_or_path meta-llama/Llama-3.2-1B --use_4bit True --bf16 True "
        command += "--model_max_length 64 --bnb_4bit_compute_dtype "
        assert "bnb_4bit_compute_dtype" in uncounted(settled(tmp_path, f"{command} float16"))
        assert "bnb_4bit_compute_dtype" not in uncounted(settled(tmp_path, f"{command} bfloat16"))

    def test_qwens(self, tmp_path: Path) -> None:
        command = "torchrun --nproc_per_node 2 finetune.py --model_name_or_path Qwen/Qwen2.5-0.5B --model_max_length 64"
        assert settled(tmp_path, f"{command} --use_lora --q_lora --fp16 True").run["method"] == "qlora"
        full = settled(tmp_path, f"{command} --q_lora False --lazy_preprocess True --bf16 True")
        assert full.run_defaults["method"] == "full"
        assert uncounted(full) == {}


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        (
            "num_generations: 8\nmax_prompt_length: 512\nbeta: 0.0\nuse_vllm: true\nvllm_device: auto",
            "num_generations",
            "GRPO",
        ),
        ("max_prompt_length: 512\nbeta: 0.1", "beta", "DPO, or of ORPO or CPO without the reference,"),
        ("beta: 0.1\ndesirable_weight: 1.0", "desirable_weight", "KTO"),
        ("num_generations: 2\nnormalize_advantages: true", "normalize_advantages", "RLOO"),
    ],
)
def test_the_trainer_is_told_by_what_no_other_has(settings: str, key: str, said: str, tmp_path: Path) -> None:
    found = uncounted(
        settled(tmp_path, f"model_name_or_path: Qwen/Qwen2.5-0.5B\nmax_length: 64\n{settings}\n", "a.yaml")
    )
    assert list(found) == [key]
    assert found[key].startswith(f"a step of {said} holds ")

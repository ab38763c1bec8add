"""transformers' `TrainingArguments`, against its own dataclass."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats.hf_arguments import (
    FORMER,
    HARMLESS,
    MOVES,
    SAME,
    read_training_arguments,
    training_arguments_defaults,
)
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import TrainerConfig


def _read(reader: Reader) -> None:
    read_training_arguments(reader)
    training_arguments_defaults(reader)


FORMAT = ConfigFormat(name="hf", title="transformers", version="transformers 5.23.0", signs=lambda _: (), read=_read)


def reader_of(**settings: Any) -> Reader:
    return Reader(Document("a.yaml", Path(), settings), FORMAT)


def read(**settings: Any) -> TrainerConfig:
    reader = reader_of(**settings)
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


def own_fields() -> tuple[dataclasses.Field[Any], ...]:
    from transformers.training_args_seq2seq import Seq2SeqTrainingArguments

    return dataclasses.fields(Seq2SeqTrainingArguments)


def test_every_field_of_the_dataclass_is_known() -> None:
    for field in own_fields():
        config = read(**{field.name: {"split_batches": True} if field.name == "accelerator_config" else "1"})
        for key, why in said(config).items():
            assert "not a setting" not in why, key


def test_each_harmless_name_is_one_of_the_dataclass_or_of_a_former_release() -> None:
    names = {field.name for field in own_fields()}
    assert set(HARMLESS) <= names
    assert names.isdisjoint(FORMER)
    once = [*HARMLESS, *FORMER, *MOVES, *SAME]
    assert len(once) == len(set(once))


def test_the_defaults_are_those_of_the_dataclass() -> None:
    own = {field.name: field.default for field in own_fields()}
    run = run_of(eval_strategy="steps", activation_checkpointing=True)
    assert run["micro_batch_size"] == own["per_device_train_batch_size"]
    assert run["eval_batch_size"] == own["per_device_eval_batch_size"]
    assert run["gradient_accumulation_steps"] == own["gradient_accumulation_steps"]
    assert run["optimizer"] == own["optim"]
    assert run["max_grad_norm"] == own["max_grad_norm"]
    assert (run["mixed_precision"], own["bf16"], own["fp16"]) == ("no", False, False)
    assert (run["kernels"], own["use_liger_kernel"]) == ("hf", False)
    assert (run_of()["gradient_checkpointing"], own["activation_checkpointing"]) == (False, None)
    assert (run_of()["eval_batch_size"], own["eval_strategy"]) == (0, "no")
    assert job_of() == {"epochs": own["num_train_epochs"], "save_steps": own["save_steps"]}


def test_what_is_on_in_its_own_json_reads_back(tmp_path: Path) -> None:
    """`to_json_string` writes every field, with the defaults filled in."""
    from transformers import TrainingArguments

    own = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=16,
        activation_checkpointing=True,
        activation_checkpointing_kwargs={"use_reentrant": True},
        optim="paged_adamw_8bit",
        eval_strategy="epoch",
        save_steps=50,
        max_steps=400,
        use_cpu=True,
    )
    config = read(**json.loads(own.to_json_string()))
    assert said(config) == {"use_cpu": "trains on the CPU, and is planned on a GPU"}
    assert {**config.run_defaults, **config.run} == {
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 16,
        "gradient_checkpointing": True,
        "use_reentrant": True,
        "optimizer": "paged_adamw_8bit",
        "eval_batch_size": 8,
        "max_grad_norm": 1.0,
        "mixed_precision": "no",
        "kernels": "hf",
        "trainer": "transformers",
    }
    assert {**config.job_defaults, **config.job} == {"epochs": 3.0, "save_steps": 50, "max_steps": 400}


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"bf16": True}, {"mixed_precision": "bf16"}),
        ({"bf16": "True", "fp16": "False"}, {"mixed_precision": "bf16"}),
        ({"bf16": False, "fp16": True}, {"mixed_precision": "fp16"}),
        ({"bf16": False}, {"mixed_precision": "no"}),
        ({"use_liger_kernel": True}, {"kernels": "liger"}),
        ({"torch_empty_cache_steps": 1}, {"empty_cache": True}),
        ({"per_gpu_train_batch_size": 4}, {"micro_batch_size": 4}),
        ({"adafactor": True}, {"optimizer": "adafactor"}),
        ({"evaluation_strategy": "steps", "per_gpu_eval_batch_size": "2"}, {"eval_batch_size": 2}),
        ({"do_eval": True}, {"eval_batch_size": 8}),
        ({"eval_strategy": "IntervalStrategy.NO", "per_device_eval_batch_size": 4}, {"eval_batch_size": 0}),
        ({"gradient_checkpointing": True}, {"gradient_checkpointing": True, "use_reentrant": False}),
        (
            {"activation_checkpointing": False, "gradient_checkpointing": True},
            {"gradient_checkpointing": False},
        ),
        (
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": '{"use_reentrant": true}'},
            {"gradient_checkpointing": True, "use_reentrant": True},
        ),
        (
            {
                "activation_checkpointing": True,
                "activation_checkpointing_kwargs": {"every_n_layers": 2, "offload": True},
            },
            {"gradient_checkpointing": True, "checkpoint_every": 2, "checkpoint_offload": True},
        ),
        ({"fsdp": True}, {"strategy": "fsdp2"}),
        ({"fsdp": "full_shard auto_wrap", "fsdp_config": {"version": 1}}, {"strategy": "fsdp"}),
        (
            {"fsdp": True, "gradient_checkpointing": False, "fsdp_config": {"activation_checkpointing": True}},
            {"strategy": "fsdp2", "gradient_checkpointing": True},
        ),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, {"strategy": "zero2"}),
    ],
)
def test_a_setting_gives_the_fields_that_it_means(settings: dict[str, Any], fields: dict[str, object]) -> None:
    run = run_of(**settings)
    assert {name: run.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        ({"max_steps": -1}, {}),
        ({"max_steps": "100"}, {"max_steps": 100}),
        ({"num_train_epochs": "1.5"}, {"epochs": 1.5}),
        ({"save_strategy": "no", "save_steps": 10}, {"save_steps": 0}),
        ({"save_strategy": "epoch", "save_steps": 10}, {}),
        ({"save_steps": 0.1}, {}),
        ({"save_steps": 100}, {"save_steps": 100}),
    ],
)
def test_the_job(settings: dict[str, Any], fields: dict[str, object]) -> None:
    assert job_of(**settings) == {"epochs": 3.0, "save_steps": 500} | fields


@pytest.mark.parametrize(
    "settings",
    [
        {"neftune_noise_alpha": 5},
        {"torch_compile": True},
        {"torch_compile_backend": "inductor"},
        {"label_smoothing_factor": 0.1},
        {"torch_empty_cache_steps": 4},
        {"auto_find_batch_size": True},
        {"bf16": True, "fp16": True},
        {"ddp_backend": "gloo"},
        {"accelerator_config": {"split_batches": True}},
        {"fsdp": "hybrid_shard auto_wrap"},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"context_fn": "mine"}},
        {"deepspeed": "not_here.json"},
        {"learning_speed": 1e-4},
    ],
)
def test_what_moves_memory_and_is_in_no_field_is_uncounted(settings: dict[str, Any]) -> None:
    assert len(read(**settings).uncounted) == 1


def test_what_is_off_or_harmless_is_ignored() -> None:
    config = read(
        neftune_noise_alpha=None,
        torch_compile=False,
        label_smoothing_factor=0.0,
        fsdp="",
        fsdp_config={"min_num_params": 0, "xla": False},
        deepspeed=None,
        debug=[],
        accelerator_config={"split_batches": False, "even_batches": True},
        ddp_backend="nccl",
        gradient_checkpointing=False,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        learning_rate="1e-4",
        warmup_ratio=0.1,
        report_to="none",
        tf32=True,
    )
    assert config.uncounted == ()
    assert run_of(fsdp=[], fsdp_config={}).get("strategy") is None


def test_a_trainer_keeps_what_it_reads_its_own_way() -> None:
    reader = reader_of(optim="adamw_torch", bf16=True, seed=1)
    read_training_arguments(reader, besides=("optim", "bf16"), checkpoints=True)
    config = reader.finish()
    assert (config.run, list(said(config))) == ({}, ["optim", "bf16"])


def test_kwargs_count_where_a_trainer_checkpoints_unasked() -> None:
    reader = reader_of(gradient_checkpointing_kwargs={"use_reentrant": True})
    read_training_arguments(reader, checkpoints=True)
    assert reader.finish().run == {"use_reentrant": True}

"""Configs laid together, and what is typed over them."""

from __future__ import annotations

from typing import Any

import pytest

from planner.errors import InputError
from planner.run import TrainingRun
from planner.trainer_configs import Default, Setting, TrainerConfig, lay_together


def config(
    name: str = "sft.yaml", *, format: str = "any", uncounted: tuple[Setting, ...] = (), **given: dict[str, Any]
) -> TrainerConfig:
    """A config whose keys are called like the fields that they give, in capitals."""
    run, job = given.get("run", {}), given.get("job", {})
    return TrainerConfig(
        name=name,
        format=format,
        title="Any",
        version="any 1.0",
        run=run,
        run_defaults=given.get("run_defaults", {}),
        job=job,
        job_defaults=given.get("job_defaults", {}),
        keys={field: field.upper() for field in (*run, *job)},
        understood=tuple(Setting(field.upper(), value, "") for field, value in {**run, **job}.items()),
        defaulted=tuple(Default(field, value, "any.py") for field, value in given.get("run_defaults", {}).items()),
        ignored=(),
        uncounted=uncounted,
        notes=(f"a note on {name}",),
    )


def test_what_is_typed_goes_before_the_file_and_the_file_before_its_trainer() -> None:
    one = config(
        run={"model": "m", "rank": 8}, run_defaults={"optimizer": "sgd", "rank": 4}, job_defaults={"epochs": 3}
    )
    reading = lay_together([one], {"optimizer": "adafactor"})
    assert reading.fields == {"model": "m", "rank": 8}
    assert reading.job == {"epochs": 3}
    assert reading.notes == ("a note on sft.yaml",)
    assert lay_together([one], {"rank": 2}).overridden == (Setting("RANK", 8, ""),)


def test_two_files_fill_each_others_gaps() -> None:
    trainer = config(run={"model": "m"}, run_defaults={"mixed_precision": "no", "micro_batch_size": 8})
    launcher = config("accelerate.yaml", run={"mixed_precision": "bf16"}, run_defaults={"micro_batch_size": 1})
    fields = lay_together([trainer, launcher], {}).fields
    assert fields == {"model": "m", "mixed_precision": "bf16", "micro_batch_size": 8}


def test_two_files_must_not_contradict_each_other() -> None:
    one, other = config(run={"mixed_precision": "bf16"}), config("zero.json", run={"mixed_precision": "fp16"})
    with pytest.raises(InputError) as refused:
        lay_together([one, other], {})
    assert str(refused.value) == (
        "sft.yaml has MIXED_PRECISION for mixed_precision 'bf16', and zero.json MIXED_PRECISION for 'fp16'; "
        "correct one of them"
    )
    assert lay_together([one, other], {"mixed_precision": "no"}).fields == {}
    same = config("zero.json", run={"mixed_precision": "bfloat16"})
    assert lay_together([one, same], {}).fields == {"mixed_precision": "bfloat16"}


def test_the_trainers_precision_holds_over_accelerates_and_deepspeeds_over_both() -> None:
    trainer = config(format="trl", run={"mixed_precision": "bf16"})
    launcher = config("accelerate.yaml", format="accelerate", run={"mixed_precision": "no"})
    engine = config("zero.json", format="deepspeed", run={"mixed_precision": "no", "base_dtype": "float16"})
    for files in ([trainer, launcher], [launcher, trainer]):
        assert lay_together(files, {}).fields == {"mixed_precision": "bf16"}
    for files in ([trainer, engine], [engine, trainer]):
        assert lay_together(files, {}).fields == {"mixed_precision": "no", "base_dtype": "float16"}


def test_a_trainers_defaults_go_before_its_launchers() -> None:
    trainer = config(format="trl", run_defaults={"mixed_precision": "bf16"})
    launcher = config("accelerate.yaml", format="accelerate", run_defaults={"mixed_precision": "no", "num_gpus": 1})
    for files in ([trainer, launcher], [launcher, trainer]):
        assert lay_together(files, {}).fields == {"mixed_precision": "bf16", "num_gpus": 1}


def test_a_file_that_another_names_is_known_when_it_is_read_too() -> None:
    named = Setting("--config_file", "configs/fsdp.yaml", "a file of accelerate's")
    one, other = config(uncounted=(named,)), config("here/fsdp.yaml")
    assert lay_together([one], {}).uncounted == (named,)
    assert lay_together([one, other], {}).uncounted == ()


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ({"method": "full"}, {"model": "llama-3.1-8b"}),
        ({"gradient_checkpointing": False}, {"model": "llama-3.1-8b", "method": "lora", "rank": 8, "alpha": 16.0}),
    ],
)
def test_what_is_typed_takes_the_meaning_from_fields_of_a_file(typed: dict[str, Any], fields: dict[str, Any]) -> None:
    run = {"model": "llama-3.1-8b", "method": "lora", "rank": 8, "alpha": 16.0}
    reading = lay_together([config(run={**run, "use_reentrant": True})], typed)
    assert {name: value for name, value in reading.fields.items() if name != "use_reentrant"} == fields
    TrainingRun(**reading.fields, **typed)


def test_another_method_is_typed_over_a_trainers_defaults_for_its_own() -> None:
    one = config(run={"model": "llama-3.1-8b"}, run_defaults={"method": "lora", "quantization": "none"})
    fields = lay_together([one], {"method": "qlora"}).fields
    assert TrainingRun(**fields, method="qlora").quantization == "nf4"


def test_a_search_fills_in_what_only_the_trainer_says() -> None:
    one = config(run={"rank": 8}, run_defaults={"micro_batch_size": 8, "sequence_length": 1024})
    assert lay_together([one], {}, leave_open=("micro_batch_size",)).fields == {"rank": 8, "sequence_length": 1024}


def test_a_strategy_of_several_gpus_is_a_warning_on_one() -> None:
    one = config(run={"strategy": "zero2"})
    reading = lay_together([one], {})
    assert "strategy" not in reading.fields
    assert [(setting.key, setting.value) for setting in reading.uncounted] == [("STRATEGY", "zero2")]
    assert "--gpus N plans several" in reading.uncounted[0].text
    assert lay_together([one], {"num_gpus": 4}).uncounted == ()
    assert lay_together([config(run={"strategy": "ddp"})], {}).fields == {"strategy": "ddp"}


def test_how_a_trainer_shards_by_default_says_nothing_on_one_gpu() -> None:
    one = config(run_defaults={"strategy": "fsdp2"})
    assert lay_together([one], {}).fields == {}
    assert lay_together([one], {}).uncounted == ()
    assert lay_together([one], {"num_gpus": 2}).fields == {"strategy": "fsdp2"}


def test_a_placeholder_is_settled_by_what_is_typed() -> None:
    one = config(uncounted=(Setting("MODEL", "${M}", "a placeholder", ("model",)), Setting("compile", True, "why")))
    assert [setting.key for setting in lay_together([one], {}).uncounted] == ["MODEL", "compile"]
    assert [setting.key for setting in lay_together([one], {"model": "m"}).uncounted] == ["compile"]


def test_errors_about_a_field_find_its_file_and_key() -> None:
    reading = lay_together([config(run={"rank": 8}, run_defaults={"optimizer": "x"}, job={"epochs": 3})], {})
    assert reading.origin("rank") == "sft.yaml: RANK"
    assert reading.origin("epochs") == "sft.yaml: EPOCHS"
    assert reading.origin("optimizer") == "sft.yaml (any 1.0)"
    assert reading.origin("model") is None


def test_what_one_file_leaves_open_another_settles() -> None:
    open_ = Setting("lora_target_modules", None, "not there", ("target_modules",))
    one = config(run={"model": "m"}, uncounted=(open_,))
    assert lay_together([one], {}).uncounted == (open_,)
    assert lay_together([one], {"target_modules": "all-linear"}).uncounted == ()
    assert lay_together([one, config("adapter.json", run={"target_modules": "all-linear"})], {}).uncounted == ()

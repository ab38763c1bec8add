"""What a plan says of the config that its run is from."""

from __future__ import annotations

import json
from dataclasses import replace

from planner.trainer_configs import Default, Reading, Setting, TrainerConfig
from reports.page import Page
from reports.trainer_config import (
    LONGEST,
    config_json,
    config_sections,
    ignored_in_words,
    in_words,
    own_defaults,
    shown_value,
    uncounted_lines,
    with_config,
)

COMPILED = Setting("torch_compile", True, "compiled graphs keep other tensors")
CONFIG = TrainerConfig(
    name="sft.yaml",
    format="trl",
    title="TRL",
    version="trl 1.16.0",
    run={"model": "llama-3.1-8b", "rank": 8},
    run_defaults={"optimizer": "adamw_torch_fused", "micro_batch_size": 8},
    job={},
    job_defaults={"epochs": 3.0},
    keys={"model": "model_name_or_path", "rank": "lora_r"},
    understood=(
        Setting("model_name_or_path", "llama-3.1-8b", "model llama-3.1-8b"),
        Setting("lora_r", 8, "rank 8"),
    ),
    defaulted=(
        Default("optimizer", "adamw_torch_fused", "transformers/training_args.py: optim"),
        Default("micro_batch_size", 8, "transformers/training_args.py: per_device_train_batch_size"),
        Default("epochs", 3.0, "transformers/training_args.py: num_train_epochs"),
    ),
    ignored=(Setting("seed", 1, ""), Setting("dataset_name", "a/b", "give --dataset"), Setting("hub", "x", "")),
    uncounted=(COMPILED,),
    notes=("a note",),
)
READING = Reading(
    configs=(CONFIG,),
    fields={"model": "llama-3.1-8b", "optimizer": "adamw_torch_fused"},
    job={"epochs": 3.0},
    overridden=(CONFIG.understood[1],),
    uncounted=(COMPILED,),
    notes=("a note",),
)


def test_what_is_not_counted_is_said_with_what_it_does() -> None:
    assert uncounted_lines(READING, Page()) == [
        "  not counted: torch_compile true (compiled graphs keep other tensors)"
    ]
    assert uncounted_lines(None, Page()) == []


def test_settings_that_do_the_same_stand_together() -> None:
    kernels = [Setting(key, True, "fused kernels keep other tensors") for key in ("mlp_kernel", "qkv_kernel")]
    left_out = Setting("loss_type", None, "")
    assert in_words([kernels[0], COMPILED, kernels[1], left_out]) == [
        "mlp_kernel true, qkv_kernel true (fused kernels keep other tensors)",
        "torch_compile true (compiled graphs keep other tensors)",
        "loss_type",
    ]


def test_every_setting_of_a_file_is_listed_once() -> None:
    assert config_sections(READING, Page()) == [
        "Read from sft.yaml, as TRL (trl 1.16.0)",
        "  understood  model_name_or_path llama-3.1-8b",
        "  by default  optimizer adamw_torch_fused, epochs 3.0",
        "  overridden  lora_r",
        "  ignored     seed, dataset_name, hub",
    ]
    assert ignored_in_words(CONFIG) == ["seed, hub", "dataset_name: give --dataset"]


def test_a_default_counts_as_long_as_nothing_goes_over_it() -> None:
    assert [one.field for one in own_defaults(CONFIG, READING)] == ["optimizer", "epochs"]


def test_its_json_has_values_as_they_are_written() -> None:
    data = config_json(READING)
    assert json.loads(json.dumps(data)) == data
    assert data["uncounted"] == [{"key": "torch_compile", "value": True, "text": "compiled graphs keep other tensors"}]
    assert data["overridden"] == ["lora_r"]
    assert with_config({"a": 1}, None) == {"a": 1}
    assert with_config({"a": 1}, READING) == {"a": 1, "config": data}


def test_a_value_is_shown_on_one_line_and_short() -> None:
    assert shown_value("a\nb\x1b[31m") == "a b [31m"
    assert shown_value([1, {"a": None}]) == '[1, {"a": null}]'
    assert len(shown_value("x" * 1000)) == LONGEST


def test_a_key_cannot_write_to_the_terminal() -> None:
    hostile = replace(READING, uncounted=(Setting("\x1b[2Jkey\n", "\x07", "why"),))
    (line,) = uncounted_lines(hostile, Page())
    assert line.startswith("  not counted: [2Jkey ")
    assert line.isprintable()

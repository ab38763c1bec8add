"""LLaMA-Factory's settings and defaults, held to its own dataclasses.

It is installed without what it requires: `pip install --no-deps llamafactory==0.9.5`.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from planner.trainer_configs.document import read_document
from planner.trainer_configs.formats.hf_arguments import FORMER as FORMER_HF
from planner.trainer_configs.formats.llamafactory.keys import FORMER, HARMLESS, MOVES, MOVES_OFF, OF_DATA, SIGNS
from tests.planner.trainer_configs.formats.test_llamafactory import BY_HAND, DATA, config_of, read, run_of


def own_classes() -> list[Any]:
    """Its dataclasses. Their package also needs `datasets`, and checks the versions of what is installed: only the
    modules of the dataclasses are imported. OmegaConf, which reads descriptions of new tokens, is not needed here."""
    package = pytest.importorskip("llamafactory")
    hparams = ModuleType("llamafactory.hparams")
    hparams.__path__ = [str(Path(package.__file__).parent / "hparams")]
    sys.modules.setdefault("llamafactory.hparams", hparams)
    omegaconf = ModuleType("omegaconf")
    omegaconf.__dict__["OmegaConf"] = None
    stands_in = sys.modules.setdefault("omegaconf", omegaconf) is omegaconf
    try:
        return [
            getattr(importlib.import_module(f"llamafactory.hparams.{name}_args"), f"{name.capitalize()}Arguments")
            for name in ("model", "data", "training", "finetuning", "generating")
        ]
    finally:
        if stands_in:
            del sys.modules["omegaconf"]


def _nothing(self: object) -> None: ...


def test_every_field_of_its_dataclasses_is_known() -> None:
    for made in own_classes():
        for field in dataclasses.fields(made):
            if not field.init:
                continue
            value = {"accelerator_config": {"split_batches": True}, "finetuning_type": "oft"}.get(field.name, "1")
            for setting in config_of(**{field.name: value}).uncounted:
                assert "not a setting" not in setting.text, f"{made.__name__}.{field.name}"


def test_each_name_here_is_one_of_its_fields_or_of_a_former_release() -> None:
    names = {field.name for made in own_classes() for field in dataclasses.fields(made)}
    assert {*HARMLESS, *MOVES, *MOVES_OFF, *OF_DATA, *SIGNS} <= names
    assert names.isdisjoint(FORMER)
    once = [*HARMLESS, *FORMER, *MOVES, *MOVES_OFF, *OF_DATA]
    assert len(once) == len(set(once))


def test_the_defaults_are_its_own() -> None:
    own: dict[str, Any] = {field.name: field.default for made in own_classes() for field in dataclasses.fields(made)}
    run = run_of(quantization_bit=4)
    assert run["rank"] == own["lora_rank"]
    assert (run["alpha"], own["lora_alpha"]) == (2 * own["lora_rank"], None)
    assert run["dropout"] == own["lora_dropout"]
    assert (run["target_modules"], own["lora_target"]) == ("all-linear", "all")
    assert (run["use_dora"], run["use_rslora"]) == (own["use_dora"], own["use_rslora"])
    assert (run["quantization"], run["double_quant"]) == (own["quantization_type"], own["double_quantization"])
    assert (run_of()["quantization"], own["quantization_bit"]) == ("none", None)
    assert run["method"] == {"lora": "qlora"}[own["finetuning_type"]]
    assert run["sequence_length"] == own["cutoff_len"]
    assert (run["packing"], own["packing"]) == (False, None)
    assert (run["attention"], own["flash_attn"]) == ("sdpa", "auto")
    assert run["gradient_checkpointing"] is not own["disable_gradient_checkpointing"]
    assert run["use_reentrant"] == own["use_reentrant_gc"]
    assert run["micro_batch_size"] == own["per_device_train_batch_size"]
    assert run["optimizer"] == own["optim"]


@pytest.mark.parametrize("name", BY_HAND)
def test_it_parses_the_same_files_to_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import HfArgumentParser

    classes = own_classes()
    # that of `TrainingArguments` looks for a GPU, and for DeepSpeed
    monkeypatch.setattr(classes[2], "__post_init__", _nothing)
    settings = dict(read_document(DATA / name).settings)
    parser: Any = HfArgumentParser(classes)
    if name.endswith(".sh"):
        words = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        model, data, training, tuning, _ = parser.parse_args_into_dataclasses(words)
    else:
        assert settings.keys() - {field.name for made in classes for field in dataclasses.fields(made)} <= {*FORMER_HF}
        model, data, training, tuning, _ = parser.parse_dict(settings, allow_extra_keys=True)
    config = read(read_document(DATA / name))
    run: dict[str, Any] = {**config.run_defaults, **config.run}
    job: dict[str, Any] = {**config.job_defaults, **config.job}

    assert run["model"] == model.model_name_or_path
    assert run["method"] in ("lora", "qlora") if tuning.finetuning_type == "lora" else run["method"] == "full"
    if tuning.finetuning_type == "lora":
        assert (run["rank"], run["alpha"], run["dropout"]) == (
            tuning.lora_rank,
            tuning.lora_alpha,
            tuning.lora_dropout,
        )
        targets = ["all"] if run["target_modules"] == "all-linear" else list(run["target_modules"])
        assert targets == tuning.lora_target
        assert (run["use_dora"], run["use_rslora"]) == (tuning.use_dora, tuning.use_rslora)
    # `DataArguments` takes one off where samples are packed, which their padding adds again
    length = data.cutoff_len + bool(data.packing)
    assert 0 <= run["sequence_length"] - length < 8
    assert run["packing"] == (tuning.stage == "pt" if data.packing is None else data.packing)
    assert run["micro_batch_size"] == training.per_device_train_batch_size
    assert run["gradient_accumulation_steps"] == training.gradient_accumulation_steps
    assert run["max_grad_norm"] == training.max_grad_norm
    assert run["optimizer"].removeprefix("galore_") == training.optim
    assert run["gradient_checkpointing"] is not model.disable_gradient_checkpointing
    assert run["kernels"] == ("liger" if model.enable_liger_kernel else "hf")
    assert (job["epochs"], job.get("max_steps", -1)) == (training.num_train_epochs, training.max_steps)

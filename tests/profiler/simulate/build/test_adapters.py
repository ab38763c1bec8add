"""PEFT around models on the meta device, against the same on real tensors."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import bitsandbytes
import peft
import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from planner.errors import InputError
from planner.run import TrainingRun
from profiler.simulate.build.adapters import wrap
from profiler.simulate.build.peft_config import peft_config
from profiler.simulate.build.peft_file import read_peft_config
from tests.profiler.simulate.build.models import METHODS, model_on
from tests.support.peft_runs import LLAMA

LORA = TrainingRun(model="tiny", rank=4, gradient_checkpointing=False)


def trained(model: Any) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (p.shape, p.dtype) for name, p in model.named_parameters() if p.requires_grad}


def read(folder: Path, kind: str, fields: dict[str, Any]) -> peft.PeftConfig:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": kind, "task_type": "CAUSAL_LM"} | fields))
    return read_peft_config(file)


def test_every_method_of_peft_is_here() -> None:
    known = {kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING}
    assert known - METHODS.keys() == {"ADAMSS", "FROD", "XLORA"}  # refused: test_peft_file


@pytest.mark.parametrize("kind", METHODS)
def test_meta_has_the_trained_tensors_of_a_real_model(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = wrap(model_on("meta"), LORA, read(tmp_path, kind, METHODS[kind]))
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    assert capfd.readouterr() == ("", "")
    fields = {name: value for name, value in METHODS[kind].items() if name != "init_lora_weights"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = read(tmp_path, kind, fields)
        real = peft.get_peft_model(model_on("cpu"), config)
    assert trained(model) == trained(real)


@pytest.mark.parametrize("base", ["float32", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("method", ["lora", "dora", "ia3", "prompt_tuning", "p_tuning", "trainable_tokens"])
def test_adapters_have_the_dtype_of_the_run(method: str, dtype: str, base: str) -> None:
    run = TrainingRun(model="tiny", method=method, adapter_dtype=dtype, base_dtype=base)
    model = wrap(model_on("meta", dtype=base), run, peft_config(run))
    assert {dtype for _, dtype in trained(model).values()} == {getattr(torch, dtype)}
    frozen = {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad}
    assert frozen == {getattr(torch, base)}


def test_copies_of_base_modules_keep_its_dtype() -> None:
    for fields in ({"method": "ln_tuning"}, {"rank": 4, "target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}):
        run = TrainingRun(model="tiny", adapter_dtype="float16", **fields)
        dtypes = {dtype for _, dtype in trained(wrap(model_on("meta"), run, peft_config(run))).values()}
        assert torch.bfloat16 in dtypes


@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("method", ["lora", "prompt_tuning"])
def test_checkpointing_makes_the_embeddings_require_gradients(method: str, quantized: bool) -> None:
    run = TrainingRun(model="tiny", method=method)
    for enabled in (True, False):
        base = model_on("meta")
        base.is_quantized = quantized
        if enabled:
            base.activation_checkpointing_enable({"use_reentrant": False})
        model = wrap(base, run, peft_config(run))
        embedded = model.get_input_embeddings()(torch.empty(1, 3, dtype=torch.long, device="meta"))
        assert embedded.requires_grad == enabled


@pytest.mark.parametrize("kind", [bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt])
@pytest.mark.parametrize("method", ["lora", "dora", "ia3"])
def test_quantized_layers_are_wrapped_as_such(kind: type, method: str) -> None:
    base = model_on("meta")
    with torch.device("meta"):
        for layer in base.model.layers:
            old = layer.mlp.down_proj
            layer.mlp.down_proj = kind(old.in_features, old.out_features, bias=False)
    if kind is bitsandbytes.nn.Linear8bitLt:
        base.is_loaded_in_8bit = True
    else:
        base.is_loaded_in_4bit = True
    run = TrainingRun(model="tiny", method=method, target_modules=["down_proj"], gradient_checkpointing=False)
    model = wrap(base, run, peft_config(run))
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.down_proj")
    assert type(layer).__module__.endswith(".bnb") and type(layer).__name__ == kind.__name__
    assert {dtype for _, dtype in trained(model).values()} == {torch.float32}


def test_index_tables_are_left_to_the_host() -> None:
    run = TrainingRun(model="tiny", method="prompt_tuning", num_virtual_tokens=3)
    model = wrap(model_on("meta"), run, peft_config(run))
    assert model.prompt_tokens["default"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        (
            "LORA",
            {"target_modules": ["c_attn"]},
            "'c_attn'.* not found in the base model.* has linear layers down_proj",
        ),
        ("LORA", {"r": -1, "target_modules": ["q_proj"]}, "`r` should be a positive integer"),
        ("LORA", {"target_modules": ["mlp"]}, "Target module .* is not supported"),
        ("C3A", {"block_size": 7}, "The block size should be a factor"),
        (
            "TRAINABLE_TOKENS",
            {"token_indices": [512]},
            "token 512 is to be trained, but .* tokens 0 to 511",
        ),
        ("LORA", {"target_modules": "(a+)+$" + "b" * 9}, "not found in the base model"),
        ("LORA", {"target_modules": "(.*.*.*)*z"}, "takes too long to match"),
        ("LORA", {"target_modules": "("}, "is not a regular expression"),
        ("LORA", {"target_modules": ["q_proj"], "rank_pattern": {"(": 3}}, "is not a regular expression"),
    ],
    ids=str,
)
def test_a_config_that_does_not_suit_the_model(kind: str, fields: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = read(tmp_path, kind, fields)
    with pytest.raises(InputError, match=said) as raised:
        wrap(model_on("meta"), LORA, config)
    assert "\n" not in str(raised.value)


def test_an_unknown_architecture_needs_targets(tmp_path: Path) -> None:
    olmoe = LLAMA | {"model_type": "olmoe", "num_experts": 4, "num_experts_per_tok": 2}
    config = read(tmp_path, "VERA", {})
    with pytest.raises(InputError, match="no default targets of VERA for model type 'olmoe'; set target_modules"):
        wrap(model_on("meta", olmoe), LORA, config)


def test_the_config_is_not_changed() -> None:
    config = peft_config(LORA)
    assert config is not None
    before = config.to_dict()
    wrap(model_on("meta"), LORA, config)
    assert config.to_dict() == before

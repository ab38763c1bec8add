"""Models on the meta device, and their layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from planner.architecture.config_file import LoadedConfig
from planner.errors import InputError
from planner.run import TrainingRun
from profiler.simulate.build.model import build_model, layers_of
from tests.planner.architecture.families.test_gemma3 import MULTIMODAL as GEMMA3
from tests.planner.architecture.families.test_llama4 import MULTIMODAL as LLAMA4
from tests.planner.architecture.families.test_mllama import config_of as mllama
from tests.support.families import shapes_of_transformers
from tests.support.peft_runs import GPT2, LLAMA, MIXTRAL


def built(config: dict[str, Any], **fields: Any) -> Any:
    run = TrainingRun(**({"model": "tiny"} | fields))
    return build_model(run, LoadedConfig(config, "config.json", None, None))


@pytest.mark.parametrize(
    "config", [LLAMA, GPT2, MIXTRAL, GEMMA3, LLAMA4, mllama()], ids=lambda config: config["model_type"]
)
def test_parameters_are_those_of_transformers_and_hold_nothing(config: dict[str, Any]) -> None:
    model = built(config)
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == shapes_of_transformers(config)
    assert all(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert model.config.use_cache is False


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float16"])
def test_the_dtype_is_the_runs(dtype: str) -> None:
    model = built(LLAMA | {"dtype": "float64", "torch_dtype": "float64"}, base_dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("attention", ["eager", "sdpa", "flash_attention_2"])
def test_attention_that_is_asked_for_is_taken(attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from profiler.simulate.device import on_sim

    with on_sim(padded=False):
        assert built(LLAMA, attention=attention).config._attn_implementation == attention


def test_attention_is_transformers_choice_where_the_run_leaves_it_open() -> None:
    """GPT-OSS has no SDPA."""
    from tests.planner.architecture.families.test_gpt_oss import TINY

    assert built(TINY).config._attn_implementation == "eager"
    with pytest.raises(InputError, match=r"config\.json: transformers refuses it"):
        built(TINY, attention="sdpa")


def test_what_the_checkpoint_is_stored_in_is_not_the_runs() -> None:
    """Neither its quantization nor code of its own."""
    stored = {"quantization_config": {"quant_method": "fp8"}, "auto_map": {"AutoConfig": "evil.Config"}}
    model = built(LLAMA | stored)
    assert not hasattr(model.config, "quantization_config")
    assert type(model.lm_head) is nn.Linear


def test_the_config_that_is_given_is_not_changed() -> None:
    config = {"layer_types": ["full_attention"] * 4} | LLAMA
    before = repr(config)
    built(config)
    assert repr(config) == before


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (LLAMA, "model.layers"),
        (GPT2, "transformer.h"),
        (GEMMA3, "model.language_model.layers"),
        (mllama(), "model.language_model.layers"),
    ],
    ids=["llama", "gpt2", "gemma3 with vision", "mllama"],
)
def test_decoder_layers_are_found(config: dict[str, Any], name: str) -> None:
    model = built(config)
    found, layers = layers_of(model)
    assert found == name
    assert layers is model.get_submodule(name)
    assert len(layers) == model.config.get_text_config().num_hidden_layers


def test_the_larger_of_two_lists_of_that_length_holds_the_layers() -> None:
    """Gemma 3 with as many vision layers as text layers."""
    vision = GEMMA3["vision_config"] | {"num_hidden_layers": GEMMA3["text_config"]["num_hidden_layers"]}
    assert layers_of(built(GEMMA3 | {"vision_config": vision}))[0] == "model.language_model.layers"


def test_a_model_without_a_list_of_layers_is_refused() -> None:
    model = built(LLAMA)
    model.model.layers = nn.Sequential(*model.model.layers)
    with pytest.raises(InputError, match="no list of 4 layers is in the LlamaForCausalLM"):
        layers_of(model)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "gpt5"}, "has no model of type 'gpt5'; simulate a model whose code is in transformers"),
        ({"model_type": None}, "has no model of type"),
        ({"model_type": "x" * 1000}, "has no model of type 'x{80}'"),
        ({"model_type": "clip_vision_model"}, "no language model of type 'clip_vision_model' to fine-tune"),
        ({"hidden_act": "warm"}, "(transformers refuses it|cannot be built on the meta device).*warm"),
        ({"num_hidden_layers": "many"}, "transformers refuses"),
        ({"rope_parameters": {"rope_type": "spiral"}}, "(transformers refuses|cannot be built).*spiral"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_config_that_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        built(LLAMA | changes)
    assert str(caught.value).startswith("config.json: ")
    assert "\n" not in str(caught.value)

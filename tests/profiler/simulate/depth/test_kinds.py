"""Which layers are alike, and a model with some of them left."""

from __future__ import annotations

import copy
from typing import Any

import peft
import torch
from transformers import LlamaConfig

from profiler.simulate.depth.kinds import kinds_of, reduce
from tests.support.families import model_of
from tests.support.steps import DECODER

LLAMA: dict[str, Any] = DECODER | {"model_type": "llama", "num_hidden_layers": 6}


def on_meta(config: dict[str, Any]) -> Any:
    with torch.device("meta"):
        return model_of(config)


def test_layers_differ_by_their_number_only() -> None:
    model = on_meta(LLAMA)
    assert len(set(kinds_of(model.model.layers, model.config))) == 1


def test_layers_with_and_without_a_window_are_two_kinds() -> None:
    types = ["sliding_attention", "full_attention"] * 3
    model = on_meta(LLAMA | {"model_type": "qwen2", "layer_types": types, "use_sliding_window": True})
    kinds = kinds_of(model.model.layers, model.config)
    assert kinds[:2] * 3 == kinds
    assert kinds[0] != kinds[1]


def test_adapters_of_different_rank_are_different_kinds() -> None:
    model = on_meta(LLAMA)
    config = peft.LoraConfig(target_modules=["q_proj"], rank_pattern={"layers.4.self_attn.q_proj": 2})
    peft.get_peft_model(model, config, low_cpu_mem_usage=True)
    kinds = kinds_of(model.model.layers, model.config)
    assert [kind == kinds[0] for kind in kinds] == [True, True, True, True, False, True]


def test_gradients_end_at_the_first_trained_layer() -> None:
    """The layers before it, itself, and the frozen layers after it, which hand gradients on, are three kinds."""
    model = on_meta(LLAMA).requires_grad_(False)
    model.model.layers[2].requires_grad_(True)
    kinds = kinds_of(model.model.layers, model.config)
    assert [kinds.index(kind) for kind in kinds] == [0, 0, 2, 3, 3, 3]


def test_a_reduced_model_has_the_kept_layers_and_their_entries() -> None:
    types = ["sliding_attention", "full_attention"] * 3
    model = on_meta(LLAMA | {"model_type": "qwen2", "layer_types": types, "use_sliding_window": True})
    layers = model.model.layers
    reduce(model, "model.layers", layers, (0, 1, 3))
    assert list(model.model.layers) == [layers[0], layers[1], layers[3]]
    assert model.config.num_hidden_layers == 3
    assert model.config.layer_types == ["sliding_attention", "full_attention", "full_attention"]


def test_lists_of_another_length_are_left_alone() -> None:
    model = on_meta(LLAMA)
    other = LlamaConfig(num_hidden_layers=4)
    model.lm_head.config = other
    model.config.pattern = [1, 2, 3]
    reduce(model, "model.layers", model.model.layers, (0, 5))
    assert (model.config.num_hidden_layers, other.num_hidden_layers) == (2, 4)
    assert model.config.pattern == [1, 2, 3]


def test_the_config_that_was_given_is_another_object() -> None:
    config = copy.deepcopy(LLAMA)
    reduce(model := on_meta(config), "model.layers", model.model.layers, (0,))
    assert config == LLAMA

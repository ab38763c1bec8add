"""Bytes of quantized weights, against what bitsandbytes' own layers hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bitsandbytes.nn import Int8Params, Params4bit

from planner.architecture.modules import linear
from planner.quantization import is_quantized, scheme
from planner.run import TrainingRun
from tests.planner.quantization.real import bytes_held, quantized_layers, quantized_model
from tests.support.families import architecture_of

SCHEMES: dict[str, dict[str, Any]] = {
    "nf4": {"quantization": "nf4", "double_quant": False},
    "nf4 double": {"quantization": "nf4", "double_quant": True},
    "fp4": {"quantization": "fp4", "double_quant": False},
    "int8": {"quantization": "int8"},
}

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 96}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"intermediate_size": 176, "tie_word_embeddings": False},
    "qwen2": SMALL | {"intermediate_size": 100, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 96, "n_positions": 64},
    "gpt_neox": SMALL | {"intermediate_size": 132},
    "opt": SMALL | {"ffn_dim": 100, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "phi": SMALL | {"intermediate_size": 92},
    "mixtral": SMALL | {"intermediate_size": 36, "num_key_value_heads": 2, "num_local_experts": 4},
    "falcon": SMALL,
}


def run_of(scheme_name: str) -> TrainingRun:
    return TrainingRun(model="tiny", method="lora", base_dtype="bfloat16", **SCHEMES[scheme_name])


@pytest.mark.parametrize("scheme_name", SCHEMES)
@pytest.mark.parametrize("shape", [(64, 64), (4096, 11), (257, 131), (3, 5), (1, 1), (300, 700)], ids=str)
def test_one_layer(shape: tuple[int, int], scheme_name: str) -> None:
    run = run_of(scheme_name)
    layer: Any = torch.nn.Module()
    weight = torch.randn(shape, dtype=torch.bfloat16)
    made: Any = Int8Params if run.quantization == "int8" else Params4bit
    if run.quantization == "int8":
        quantized = made(weight, requires_grad=False).to("cpu")
        held = quantized.CB.nbytes + quantized.SCB.nbytes
        assert quantized.data.data_ptr() == quantized.CB.data_ptr()
    else:
        settings = {"quant_type": run.quantization, "compress_statistics": run.double_quant}
        layer.weight = made(weight, **settings).to("cpu")
        held = bytes_held(layer)
    ours = scheme(run.quantization)
    assert ours is not None
    assert ours.weight_bytes(linear("layer", shape[1], shape[0]), run) == held


@pytest.mark.parametrize("scheme_name", ["nf4", "nf4 double", "int8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_which_layers_of_a_model_and_what_they_hold(family: str, scheme_name: str) -> None:
    run = run_of(scheme_name)
    config = {"model_type": family} | FAMILIES[family]
    architecture = architecture_of(config)
    ours = scheme(run.quantization)
    assert ours is not None
    predicted = {
        name: ours.weight_bytes(module, run)
        for name, module in architecture.modules()
        if is_quantized(architecture, name, module, run)
    }
    real = {name: bytes_held(layer) for name, layer in quantized_layers(quantized_model(config, run))}
    assert predicted == real
    assert bool(real) == (family != "falcon")


def test_the_published_costs_per_parameter() -> None:
    # QLoRA (arXiv:2305.14314): 4 bits, and for a block's constant 32/64 bits, or 0.127 if quantized again
    layer = linear("layer", 8192, 8192)
    nf4, double = (run_of(name) for name in ("nf4", "nf4 double"))
    found = scheme("nf4")
    assert found is not None
    assert found.weight_bytes(layer, nf4) / 8192**2 == pytest.approx(0.5 + 4 / 64, rel=1e-4)
    assert found.weight_bytes(layer, double) / 8192**2 == pytest.approx(0.5 + 0.127 / 8, rel=1e-3)

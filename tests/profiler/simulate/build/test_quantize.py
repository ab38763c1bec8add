"""Quantized modules and weights of a simulated model, against transformers' and bitsandbytes' real ones."""

from __future__ import annotations

from typing import Any

import bitsandbytes
import peft
import pytest
import torch

from planner.errors import Abstention
from planner.run import TrainingRun
from profiler.simulate.build.quantize import fake_parameter, prepare_kbit, quantize, readable_by_peft
from profiler.simulate.device.backend import NAME
from tests.planner.quantization.real import bytes_held, quantized_layers, quantized_model, weight_tensors
from tests.profiler.simulate.device.test_bitsandbytes import LLAMA, BytesOn, materialize, run_of, simulated
from tests.support.families import model_of

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 96}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"intermediate_size": 176, "tie_word_embeddings": False},
    "qwen2": SMALL | {"intermediate_size": 100, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "gpt2": {"n_embd": 48, "n_layer": 2, "n_head": 4, "vocab_size": 96, "n_positions": 64},
    "opt": SMALL | {"ffn_dim": 100, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
    "mixtral": SMALL | {"intermediate_size": 36, "num_key_value_heads": 2, "num_local_experts": 4},
    "falcon": SMALL,
}
SCHEMES: dict[str, dict[str, Any]] = {
    "nf4": {"quantization": "nf4"},
    "nf4-dq": {"quantization": "nf4", "double_quant": True},
    "fp4": {"quantization": "fp4"},
    "int8": {"quantization": "int8"},
}


def meta_model(config: dict[str, Any], run: TrainingRun) -> Any:
    with torch.device("meta"):
        model = model_of(config, attention="eager", dtype=run.base_dtype)
    quantize(model, run)
    return model


def bytes_on_device(module: Any) -> int:
    """`bytes_held` of a fake layer: its storages have no address but an identity."""
    storages = [tensor.untyped_storage() for tensor in weight_tensors(module)]
    assert all(tensor.device.type == NAME for tensor in weight_tensors(module))
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_modules_that_are_quantized_and_their_bytes(family: str, scheme: str) -> None:
    run = run_of(**SCHEMES[scheme])
    config = {"model_type": family} | FAMILIES[family]
    model = meta_model(config, run)
    with simulated():
        materialize(model)
    real = {name: bytes_held(layer) for name, layer in quantized_layers(quantized_model(config, run))}
    assert {name: bytes_on_device(layer) for name, layer in quantized_layers(model)} == real
    assert bool(real) == (family != "falcon")  # whose linear layers have a class of their own


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_weight_passes_through_the_device_in_16_bits(scheme: str) -> None:
    run = run_of(**SCHEMES[scheme])
    layer = meta_model(LLAMA, run).model.layers[0].mlp.up_proj
    elements = 64 * 192
    blocks = elements // 64
    with simulated():
        bitsandbytes.functional.quantize_4bit(torch.empty(1, 64, device=NAME), compress_statistics=True)
        live = BytesOn(NAME, [bitsandbytes.functional.name2qmap["dynamic"]])
        with live:
            weight = fake_parameter(layer, "weight", layer.weight)
    assert weight is not None
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in _tensors(weight)}
    held = sum(storage.nbytes() for storage in storages.values())
    assert (held, live.peak - 2 * elements) == {
        # half a byte, a float32 a block and the code book, which is scaled by the largest of its absolute values
        "nf4": (elements // 2 + 4 * blocks + 64, elements // 2 + 4 * blocks + 2 * 64 + 4),
        "fp4": (elements // 2 + 4 * blocks + 64, elements // 2 + 4 * blocks + 2 * 64 + 4),
        # a byte a block, a float32 per 256 of them, an offset and two code books; for a moment two float32 a block
        "nf4-dq": (elements // 2 + blocks + 4 + 4 + 64 + 1024, elements // 2 + 9 * blocks + 4 + 4 + 64 + 1024),
        # a byte, and a float32 a row; made of a float16 copy
        "int8": (elements + 4 * 192, 2 * elements + elements + 4 * 192),
    }[scheme]
    assert live.now == held


def _tensors(weight: Any) -> list[torch.Tensor]:
    state = getattr(weight, "quant_state", None)
    if state is None:
        return [weight, weight.CB, weight.SCB]
    nested = [state.offset, state.state2.absmax, state.state2.code] if state.nested else []
    return [weight, state.absmax, state.code, *nested]


def test_what_peft_and_trainer_look_at() -> None:
    for scheme, flag, layer_class in (
        ("nf4", "is_loaded_in_4bit", peft.tuners.lora.Linear4bit),
        ("int8", "is_loaded_in_8bit", peft.tuners.lora.Linear8bitLt),
    ):
        model = meta_model(LLAMA, run_of(**SCHEMES[scheme]))
        assert getattr(model, flag) and model.is_quantized and model.quantization_method == "bitsandbytes"
        assert model.hf_quantizer.is_trainable
        adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear"), low_cpu_mem_usage=True)
        assert isinstance(adapted.base_model.model.model.layers[0].mlp.up_proj, layer_class)


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_parameters_are_counted_as_before(scheme: str) -> None:
    run = run_of(**SCHEMES[scheme])
    model = peft.get_peft_model(meta_model(LLAMA, run), peft.LoraConfig(target_modules="all-linear", r=4))
    plain = model_of(LLAMA)
    with simulated():
        materialize(model)
        trained, total = model.get_nb_trainable_parameters()
    assert total - trained == sum(parameter.numel() for parameter in plain.parameters())


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_the_upcast_spares_quantized_weights(scheme: str) -> None:
    run = run_of(**SCHEMES[scheme])
    model = meta_model(LLAMA, run)
    prepare_kbit(model, run)
    layer = model.model.layers[0]
    assert layer.input_layernorm.weight.dtype == model.lm_head.weight.dtype == torch.float32
    assert layer.mlp.up_proj.weight.dtype == torch.bfloat16
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_base_dtype_is_what_weights_expand_to() -> None:
    run = run_of("nf4", base_dtype="float16")
    model = meta_model(LLAMA | {"model_type": "qwen2"}, run)
    with simulated():
        materialize(model)
        layer = model.model.layers[0].self_attn.q_proj
        expanded = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    assert expanded.dtype == layer.bias.dtype == torch.float16
    assert layer.compute_dtype == torch.float16


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
def test_dora_can_be_wrapped_around_it(scheme: str) -> None:
    run = run_of(use_dora=True, **SCHEMES[scheme])
    adapter = peft.LoraConfig(target_modules="all-linear", use_dora=True)
    with readable_by_peft():
        model = peft.get_peft_model(meta_model(LLAMA, run), adapter, low_cpu_mem_usage=True)
    magnitude = model.base_model.model.model.layers[0].mlp.up_proj.lora_magnitude_vector["default"].weight
    assert (tuple(magnitude.shape), magnitude.dtype, magnitude.device.type) == ((192,), torch.float32, "meta")


@pytest.mark.parametrize("scheme", ["gptq", "awq"])
def test_gptq_and_awq_are_not_simulated(scheme: str) -> None:
    with pytest.raises(Abstention, match=f"kernels of {scheme} are not simulated"):
        quantize(model_of(LLAMA), run_of(scheme))

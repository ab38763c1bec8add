"""A step over a quantized base on the simulated device, against the real step on CPU tensors."""

from __future__ import annotations

import contextlib
import gc
import logging
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import bitsandbytes
import peft
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from planner.run import TrainingRun
from profiler.simulate.build.quantize import fake_parameter, prepare_kbit, quantize, readable_by_peft
from profiler.simulate.device import autocast
from profiler.simulate.device import bitsandbytes as on_sim
from profiler.simulate.device.backend import NAME, register
from tests.planner.quantization.real import measured_peak, quantized_layers, weight_tensors
from tests.support.families import BATCH, SEQUENCE, model_of
from tests.support.live_bytes import LiveBytes

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 8,
    "max_position_embeddings": 256,
    "tie_word_embeddings": False,
}


class BytesOn(LiveBytes):
    """Live bytes of one device, `sim` or the host."""

    def __init__(self, device: str, ignore: list[torch.Tensor]) -> None:
        super().__init__(ignore)
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == self._device:
                self._see(leaf.untyped_storage())
        return out


@pytest.fixture(autouse=True)
def collector_off() -> Iterator[None]:
    """What cycles keep alive counts, and must not end at a random moment."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Fake tensors on the simulated device, which transformers takes for real ones."""
    register()
    is_autocast_enabled = torch.is_autocast_enabled
    with (
        # PEFT asks for the autocast of CUDA, which is what a call without a device means
        mock.patch("torch.is_autocast_enabled", lambda device=NAME: is_autocast_enabled(device)),
        mock.patch("transformers.utils.import_utils.is_fake_tensor", _no),
        mock.patch("transformers.masking_utils.find_packed_sequence_indices", _no),
        on_sim.as_on_cuda(),
        autocast.as_on_cuda(),
        FakeTensorMode(allow_non_fake_inputs=True),
    ):
        yield


def materialize(model: torch.nn.Module) -> None:
    """Fake tensors in place of a meta model's parameters and buffers."""
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = _made(module, name, parameter)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=NAME)


def _no(*_: Any) -> None:
    """A `Mock` would hold the tensors that it is called with."""


def _made(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    quantized = fake_parameter(module, name, parameter)
    if quantized is not None:
        return quantized
    data = torch.empty(parameter.shape, dtype=parameter.dtype, device=NAME)
    return torch.nn.Parameter(data, requires_grad=parameter.requires_grad)


def adapted(config: dict[str, Any], run: TrainingRun) -> torch.nn.Module:
    """PEFT's model over a quantized meta model, as the real one of `measured_peak` is made."""
    with torch.device("meta"):
        model = model_of(config, attention=run.attention, dtype=run.base_dtype)
    model.config.use_cache = False
    quantize(model, run)
    prepare_kbit(model, run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if run.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": run.use_reentrant})
            model.enable_input_require_grads()
        adapter = peft.LoraConfig(
            r=run.rank,
            target_modules="all-linear",
            lora_dropout=run.dropout,
            use_dora=run.use_dora,
            task_type="CAUSAL_LM",
        )
        with readable_by_peft():
            return peft.get_peft_model(model, adapter, low_cpu_mem_usage=True)


def simulated_peak(config: dict[str, Any], run: TrainingRun) -> int:
    """Most bytes alive in the step, counted as `measured_peak` counts them."""
    model = adapted(config, run)
    model.train()
    with simulated():
        materialize(model)
        ids = torch.empty(BATCH, SEQUENCE, dtype=torch.long, device=NAME)
        held = [tensor for _, module in quantized_layers(model) for tensor in weight_tensors(module)]
        live = LiveBytes([*model.parameters(), *model.buffers(), *held, ids])
        with live:
            with torch.autocast(NAME, torch.bfloat16, enabled=run.mixed_precision == "bf16"):
                loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
    return live.peak


def run_of(quantization: str, **fields: Any) -> TrainingRun:
    return TrainingRun(
        model="tiny",
        method="lora",
        quantization=quantization,
        rank=4,
        packing=True,
        attention="eager",
        target_modules="all-linear",
        **fields,
    )


STEPS: dict[str, dict[str, Any]] = {
    "nf4": {"quantization": "nf4"},
    "nf4-dq": {"quantization": "nf4", "double_quant": True},
    "nf4 dropout": {"quantization": "nf4", "dropout": 0.1},
    "nf4 checkpointing": {"quantization": "nf4", "gradient_checkpointing": True},
    "nf4 reentrant": {"quantization": "nf4", "gradient_checkpointing": True, "use_reentrant": True},
    "nf4 float32": {"quantization": "nf4", "double_quant": True, "base_dtype": "float32", "mixed_precision": "no"},
    "fp4 upcast, no autocast": {"quantization": "fp4", "mixed_precision": "no"},
    "nf4 not prepared": {"quantization": "nf4", "double_quant": True, "prepare_kbit": False},
    "nf4 dora": {"quantization": "nf4", "double_quant": True, "use_dora": True},
    "int8": {"quantization": "int8"},
    "int8 checkpointing": {"quantization": "int8", "gradient_checkpointing": True},
    "int8 not prepared": {"quantization": "int8", "prepare_kbit": False},
    "int8 float16, no autocast": {"quantization": "int8", "base_dtype": "float16", "mixed_precision": "no"},
    "int8 dora": {"quantization": "int8", "use_dora": True},
}


@pytest.mark.parametrize("name", STEPS)
def test_the_peak_of_a_step_to_the_byte(name: str) -> None:
    run = run_of(**{"gradient_checkpointing": False} | STEPS[name])
    assert simulated_peak(LLAMA, run) == measured_peak(LLAMA, run)


WEIGHTS_DECIDE = LLAMA | {"intermediate_size": 2048}


@pytest.mark.parametrize("fields", [{"double_quant": False}, {"double_quant": True}, {"quantization": "int8"}], ids=str)
def test_where_the_expanded_weights_decide(fields: dict[str, Any]) -> None:
    run = run_of(**{"quantization": "nf4", "gradient_checkpointing": True, "mixed_precision": "no"} | fields)
    assert simulated_peak(WEIGHTS_DECIDE, run) == measured_peak(WEIGHTS_DECIDE, run)


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_layers_with_biases(quantization: str) -> None:
    qwen = LLAMA | {"model_type": "qwen2"}
    # in one dtype: bitsandbytes replaces a bias of another at the first step, which `LiveBytes` cannot follow
    run = run_of(quantization, gradient_checkpointing=False, base_dtype="float32", mixed_precision="no")
    assert simulated_peak(qwen, run) == measured_peak(qwen, run)


def test_bitsandbytes_is_itself_again_afterwards() -> None:
    from bitsandbytes import functional

    before = functional.create_dynamic_map, torch.ops.bitsandbytes.gemm_4bit.default, dict(functional.name2qmap)
    level = logging.getLogger("bitsandbytes").level
    with simulated():
        functional.quantize_4bit(torch.empty(64, 64, device=NAME), compress_statistics=True)
        assert functional.name2qmap["dynamic"].device.type == NAME
    after = functional.create_dynamic_map, torch.ops.bitsandbytes.gemm_4bit.default, dict(functional.name2qmap)
    assert after == before
    assert logging.getLogger("bitsandbytes").level == level
    weight = torch.randn(64, 64)
    packed, state = functional.quantize_4bit(weight)
    assert functional.dequantize_4bit(packed, state).shape == weight.shape


def test_outlier_search_of_int8_takes_absolute_values_and_a_mask() -> None:
    with simulated():
        x = torch.empty(32, 64, dtype=torch.float16, device=NAME)
        live = LiveBytes([x])
        with live:
            bitsandbytes.functional.int8_vectorwise_quant(x, threshold=6.0)
    # float32 row scales, int8 values, and for a moment |x| in float16 with its mask
    assert live.peak == 4 * 32 + 32 * 64 * (1 + 2 + 1)

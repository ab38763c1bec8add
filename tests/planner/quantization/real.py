"""Real quantized models: transformers' own modules, replaced and quantized as `from_pretrained` does."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any
from unittest import mock

import bitsandbytes
import peft
import torch
from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from transformers import BitsAndBytesConfig
from transformers.integrations.bitsandbytes import replace_with_bnb_linear
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert

from planner.run import TrainingRun
from tests.planner.quantization import cuda_ops
from tests.support.families import BATCH, SEQUENCE, model_of
from tests.support.live_bytes import LiveBytes, _attention_as_on_cuda, _dropout_as_on_cuda


def quantized_model(config: dict[str, Any], run: TrainingRun) -> Any:
    """transformers' model with its linear layers quantized on the CPU."""
    model = model_of(config, attention=run.attention, dtype=run.base_dtype)
    weights = {
        name: module.weight.data.T if isinstance(module, Conv1D) else module.weight.data
        for name, module in model.named_modules()
        if isinstance(module, Conv1D | torch.nn.Linear)
    }
    replace_with_bnb_linear(model, get_keys_to_not_convert(model), _settings(run))
    for name, module in quantized_layers(model):
        kept = dict(module.weight.__dict__)
        made = Int8Params if isinstance(module, Linear8bitLt) else Params4bit
        for key in ("CB", "SCB"):
            kept.pop(key, None)
        module.weight = made(weights[name].contiguous(), requires_grad=False, **kept).to("cpu")
        if module.bias is not None:
            module.bias = torch.nn.Parameter(torch.zeros(module.out_features), requires_grad=False)
    model.is_loaded_in_8bit = run.quantization == "int8"
    model.is_loaded_in_4bit = run.quantization != "int8"
    return model


def _settings(run: TrainingRun) -> BitsAndBytesConfig:
    if run.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    dtypes = {"no": run.base_dtype, "bf16": "bfloat16", "fp16": "float16"}
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=run.quantization,
        bnb_4bit_use_double_quant=run.double_quant,
        bnb_4bit_compute_dtype=getattr(torch, dtypes[run.mixed_precision]),
    )


def quantized_layers(model: Any) -> Iterator[tuple[str, Any]]:
    """The quantized modules by name."""
    for name, module in model.named_modules():
        if isinstance(module, Linear4bit | Linear8bitLt):
            yield name, module


def weight_tensors(module: Any) -> list[torch.Tensor]:
    """Every tensor that the weight of one quantized layer holds on its device."""
    weight = module.weight
    if isinstance(module, Linear8bitLt):
        kept = (weight.data, weight.CB, weight.SCB, module.state.CB, module.state.SCB)
        return [tensor for tensor in kept if tensor is not None]
    state = weight.quant_state
    tensors = [weight.data, state.absmax, state.code]
    if state.nested:
        tensors += [state.offset, state.state2.absmax, state.state2.code]
    return tensors


def bytes_held(module: Any) -> int:
    """Bytes of those tensors, one that is held twice counted once."""
    storages = [tensor.untyped_storage() for tensor in weight_tensors(module)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def measured_peak(config: dict[str, Any], run: TrainingRun) -> int:
    """Most bytes alive in a real LoRA step over a quantized base, on CPU tensors.

    bitsandbytes' operators are replaced by what its CUDA backend does, as far as buffers go (`cuda_ops`).
    """
    torch.manual_seed(0)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    model = quantized_model(config, run)
    model.config.use_cache = False
    checkpointing = {"use_reentrant": run.use_reentrant}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if run.prepare_kbit:
            peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        if run.gradient_checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=checkpointing)
            model.enable_input_require_grads()
        targets = run.target_modules if isinstance(run.target_modules, str) else list(run.target_modules)
        adapter = peft.LoraConfig(
            r=run.rank,
            target_modules=targets,
            lora_dropout=run.dropout,
            use_dora=run.use_dora,
            task_type="CAUSAL_LM",
        )
        return _step_peak(peft.get_peft_model(model, adapter), autocast=run.mixed_precision == "bf16")


def _step_peak(model: torch.nn.Module, *, autocast: bool) -> int:
    ids = torch.zeros(BATCH, SEQUENCE, dtype=torch.long)
    held = [tensor for _, module in quantized_layers(model) for tensor in weight_tensors(module)]
    live = LiveBytes([*model.parameters(), *model.buffers(), *held, ids])
    is_autocast_enabled = torch.is_autocast_enabled
    model.train()
    with (
        mock.patch("torch.nn.functional.dropout", _dropout_as_on_cuda),
        mock.patch("torch.nn.functional.scaled_dot_product_attention", _attention_as_on_cuda),
        # PEFT asks for the autocast of CUDA, which is what a call without a device means
        mock.patch("torch.is_autocast_enabled", lambda device="cpu": is_autocast_enabled(device)),
        mock.patch.object(bitsandbytes, "matmul", cuda_ops.matmul),
        cuda_ops.patched(),
        live,
    ):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
    return live.peak

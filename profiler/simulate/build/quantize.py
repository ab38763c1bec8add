"""Quantized weights: transformers swaps the modules on the meta device, the weights become fake tensors later."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from planner.errors import Abstention
from planner.run import TrainingRun
from planner.run.precision import compute_dtype
from profiler.simulate.device import bitsandbytes as device
from profiler.simulate.device.backend import NAME


def quantize(model: Any, run: TrainingRun) -> None:
    """Swap the modules of a meta model that the run's scheme quantizes, as `from_pretrained` does.

    transformers' own quantizer chooses and makes them, and leaves on the model what PEFT and Trainer look at.
    Their weights keep shape and dtype of the checkpoint until `fake_parameter` quantizes them. Raises `Abstention`
    for gptq and awq.
    """
    if run.quantization == "none":
        return
    if run.quantization in ("gptq", "awq"):
        raise Abstention(
            f"the kernels of {run.quantization} are not simulated", way_out="plan it, or simulate nf4 in its place"
        )
    device.load()
    from transformers.modeling_utils import local_torch_dtype
    from transformers.quantizers.quantizer_bnb_4bit import Bnb4BitHfQuantizer
    from transformers.quantizers.quantizer_bnb_8bit import Bnb8BitHfQuantizer

    dtype = getattr(torch, run.base_dtype)
    kind: Any = Bnb8BitHfQuantizer if run.quantization == "int8" else Bnb4BitHfQuantizer
    quantizer: Any = kind(settings_of(run), pre_quantized=False)
    with local_torch_dtype(dtype):
        quantizer.preprocess_model(model, dtype=dtype, device_map={"": 0})
    model.hf_quantizer = quantizer
    quantizer.postprocess_model(model)


def settings_of(run: TrainingRun) -> Any:
    """transformers' `BitsAndBytesConfig` of a run; None where nothing is quantized by bitsandbytes."""
    import transformers

    if run.quantization == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True)
    if run.quantization not in ("nf4", "fp4"):
        return None
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=run.quantization,
        bnb_4bit_use_double_quant=run.double_quant,
        bnb_4bit_compute_dtype=getattr(torch, compute_dtype(run)),
    )


def prepare_kbit(model: Any, run: TrainingRun) -> None:
    """PEFT's `prepare_model_for_kbit_training` on the meta device, if the run asks for it.

    It freezes the base and casts what is left in 16 bits to float32. Gradient checkpointing is left alone.
    """
    if not run.prepare_kbit:
        return
    import peft

    with _stored(model):
        peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


@contextlib.contextmanager
def _stored(model: nn.Module) -> Generator[None, None, None]:
    """Quantized weights in the integers they are in when a real run prepares its model, not to be cast."""
    weights: list[Any] = [p for p in model.parameters() if _scheme(p)]
    dtypes = [weight.dtype for weight in weights]
    for weight in weights:
        weight.data = weight.data.to(torch.int8)
    try:
        yield
    finally:
        for weight, dtype in zip(weights, dtypes, strict=True):
            weight.data = weight.data.to(dtype)


@contextlib.contextmanager
def readable_by_peft() -> Generator[None, None, None]:
    """Wrap a quantized meta model by PEFT in here: DoRA reads the base weights to make its magnitudes.

    bitsandbytes can neither copy nor expand a weight that it has not quantized yet.
    """
    from peft.tuners.lora import dora

    with (
        mock.patch.object(dora, "deepcopy", _itself),
        mock.patch.object(dora, "dequantize_module_weight", _expanded(dora.dequantize_module_weight)),
    ):
        yield


def _itself(layer: nn.Module) -> nn.Module:
    return layer


def _expanded(otherwise: Callable[[Any], torch.Tensor]) -> Callable[[Any], torch.Tensor]:
    def weight(module: Any) -> torch.Tensor:
        scheme = _scheme(module.weight) if isinstance(module.weight, nn.Parameter) else ""
        if not scheme or module.weight.device.type != "meta":
            return otherwise(module)
        dtype = module.weight.dtype if scheme == "Params4bit" else torch.float32
        return torch.empty(module.weight.shape, dtype=dtype, device="meta")

    return weight


def fake_parameter(module: nn.Module, name: str, parameter: nn.Parameter) -> nn.Parameter | None:
    """The fake tensor of device `sim` for a quantized weight, None for any other parameter.

    The weight is loaded in 16 bits, quantized and freed, as transformers 5 does one by one
    (`integrations/bitsandbytes.py`). A fake mode and `device.bitsandbytes.as_on_cuda` are active.
    """
    scheme = _scheme(parameter)
    if scheme == "Params4bit":
        return _params_4bit(module, parameter)
    if scheme == "Int8Params":
        return _int8_params(module, parameter)
    return None


def _scheme(parameter: nn.Parameter) -> str:
    name = type(parameter).__name__
    return name if name in ("Params4bit", "Int8Params") else ""


def _params_4bit(module: Any, parameter: Any) -> nn.Parameter:
    """`Bnb4bitQuantize.convert`."""
    from bitsandbytes.functional import quantize_4bit

    loaded = _loaded(module, parameter)
    packed, state = quantize_4bit(
        loaded.contiguous(),
        blocksize=parameter.blocksize,
        compress_statistics=parameter.compress_statistics,
        quant_type=parameter.quant_type,
        quant_storage=parameter.quant_storage,
    )
    made: Any = nn.Parameter(packed, requires_grad=False)
    made.__class__ = Params4bit
    made.__dict__.update(parameter.__dict__)
    made.quant_state = module.quant_state = state
    made.bnb_quantized = True
    return made


def _int8_params(module: Any, parameter: Any) -> nn.Parameter:
    """`Bnb8bitQuantize.convert`: through the host, and back in float16."""
    from bitsandbytes.functional import int8_vectorwise_quant

    loaded = _loaded(module, parameter)
    CB, SCB, _ = int8_vectorwise_quant(loaded.to("cpu").contiguous().to(device=NAME, dtype=torch.float16))
    del loaded
    made: Any = nn.Parameter(CB, requires_grad=False)
    made.__class__ = Int8Params
    made.CB, made.SCB = CB, SCB
    made.has_fp16_weights = parameter.has_fp16_weights
    return made


def _loaded(module: Any, parameter: nn.Parameter) -> torch.Tensor:
    from transformers.pytorch_utils import Conv1D

    if issubclass(module.source_cls, Conv1D):
        return torch.empty(parameter.shape[::-1], dtype=parameter.dtype, device=NAME).T
    return torch.empty(parameter.shape, dtype=parameter.dtype, device=NAME)


class Params4bit(FakeTensor):
    """A fake tensor under the name by which PEFT knows 4-bit weights; bitsandbytes' own class cannot hold one."""


class Int8Params(FakeTensor):
    """The same for LLM.int8()."""

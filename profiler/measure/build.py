"""The model of a run, built on the device itself: no download, and never the whole of it in host memory.

The order is that of a training script: `from_pretrained` (one weight after the other, each quantized as it comes),
`prepare_model_for_kbit_training`, gradient checkpointing, `get_peft_model`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportMissingTypeStubs=false, reportPrivateImportUsage=false

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from planner.architecture.config_file import LoadedConfig
from planner.errors import InputError
from planner.run import TrainingRun
from profiler.measure.weights import load_model
from profiler.simulate.build.adapters import cast_adapters
from profiler.simulate.build.model import build_model, layers_of
from profiler.simulate.build.peft_config import peft_config
from profiler.simulate.build.quantize import quantize
from profiler.simulate.build.versions import preparations
from profiler.simulate.depth.kinds import reduce
from profiler.simulate.device import liger

LOADED, UPCAST, ADAPTERS = "loaded", "upcast", "adapters"
"""What `build` tells of as it is done."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model that is ready to train, on its device."""

    model: Any
    layers: list[nn.Module]
    """Its decoder layers: those that were kept."""
    layer_names: str
    """`base_model.model.model.layers`"""
    adapted: bool
    """Whether what trains is beside the base weights, and not they themselves."""
    total: int
    """Parameters, as PEFT counts them."""
    trainable: int


def meta_model(run: TrainingRun, loaded: LoadedConfig, kept: tuple[int, ...] | None = None) -> tuple[Any, str]:
    """The run's model on the meta device, with the layers `kept` (None: all), and the name of their list."""
    model = build_model(run, loaded)
    name, layers = layers_of(model)
    if kept is not None:
        reduce(model, name, layers, kept)
    return model, name


def build(
    run: TrainingRun,
    loaded: LoadedConfig,
    device: Any,
    *,
    kept: tuple[int, ...] | None = None,
    weights: str | None = None,
    done: Callable[[str], None] = lambda _: None,
) -> Built:
    """The run's model on `device` (a `torch.device`), in its final dtype and quantization.

    kept: the layers that are built; None: all. weights: a folder to load them from, for whole models; None: random
    ones. done: told LOADED, UPCAST and ADAPTERS as each is. Raises `InputError` where the stack refuses the run.
    """
    model, name = meta_model(run, loaded, kept)
    if weights is None:
        quantize(model, run)
        fill(model, device)
    else:
        model = load_model(model, run, weights, device)
    done(LOADED)
    if run.prepare_kbit:
        import peft

        peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    done(UPCAST)
    if run.gradient_checkpointing:
        model.activation_checkpointing_enable(
            {"use_reentrant": run.use_reentrant}, every_n_layers=run.checkpoint_every, offload=run.checkpoint_offload
        )
    model = _wrapped(model, run, device)
    for change in preparations(run):
        change(model)
    done(ADAPTERS)
    liger.apply(model, run)
    model.train()
    name = next(found for found, _ in model.named_modules() if found == name or found.endswith(f".{name}"))
    return Built(
        model=model,
        layers=list(model.get_submodule(name)),
        layer_names=name,
        adapted=run.method != "full",
        total=sum(_count(parameter) for parameter in model.parameters()),
        trainable=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
    )


def fill(model: Any, device: Any) -> None:
    """Random weights on `device` for a model on the meta device, as transformers initialises it; ties stay tied.

    Each quantized weight is made in the checkpoint's dtype, quantized and freed before the next one is made.
    """
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            if id(parameter) not in made:
                made[id(parameter)] = _filled(module, parameter, device)
            module._parameters[name] = made[id(parameter)]
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.zeros_like(buffer, device=device)
    model.initialize_weights()


def _filled(module: nn.Module, parameter: nn.Parameter, device: Any) -> nn.Parameter:
    scheme = type(parameter).__name__
    if scheme not in ("Params4bit", "Int8Params"):
        return nn.Parameter(torch.empty_like(parameter, device=device), requires_grad=parameter.requires_grad)
    weight = torch.empty(parameter.shape, dtype=parameter.dtype, device=device).normal_(0.0, 0.02)
    quantized = _params_4bit(module, parameter, weight) if scheme == "Params4bit" else _int8(parameter, weight)
    quantized._is_hf_initialized = True
    return quantized


def _params_4bit(module: Any, parameter: Any, weight: torch.Tensor) -> Any:
    """`Bnb4bitQuantize.convert` of transformers."""
    import bitsandbytes

    made: Any = bitsandbytes.nn.Params4bit
    kept = {name: value for name, value in vars(parameter).items() if name not in ("data", "_is_hf_initialized")}
    return made(weight, requires_grad=False, **(kept | {"module": module})).to(weight.device)


def _int8(parameter: Any, weight: torch.Tensor) -> Any:
    """`Bnb8bitQuantize.convert`: through the host."""
    import bitsandbytes

    made: Any = bitsandbytes.nn.Int8Params
    return made(weight.to("cpu"), requires_grad=False, has_fp16_weights=parameter.has_fp16_weights).to(weight.device)


def _wrapped(model: Any, run: TrainingRun, device: Any) -> Any:
    config = peft_config(run)
    if config is None:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return model
    import peft

    try:
        wrapped: Any = peft.get_peft_model(model, copy.deepcopy(config))
    except Exception as error:
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise InputError(f"PEFT cannot put the run's adapter on this model ({said}); change the method") from None
    if run.adapter_dtype != "float32":
        cast_adapters(wrapped, config, getattr(torch, run.adapter_dtype))
    return wrapped.to(device) if config.is_prompt_learning else wrapped


def _count(parameter: Any) -> int:
    """As `get_nb_trainable_parameters` of PEFT counts it: packed weights for what they stand for."""
    if type(parameter).__name__ == "Params4bit":
        return parameter.numel() * 2 * parameter.element_size()
    return parameter.numel()

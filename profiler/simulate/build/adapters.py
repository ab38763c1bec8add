"""PEFT around a model on the meta device."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false, reportPrivateUsage=false

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from typing import Any

import peft
import torch
from peft.tuners._buffer_dict import BufferDict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
from torch import nn

from planner.errors import InputError
from planner.methods.pattern import matching
from planner.run import TrainingRun
from profiler.simulate.build.peft_file import FIELD, first_sentence
from profiler.simulate.build.quantize import readable_by_peft

ADAPTER = "default"

_VALUES_AT_BUILD = ("ADALORA", "BOFT", "UNILORA")
"""Tuners that compute with values when they are made (index tables; AdaLoRA's rank is read back): their tensors
are made on the CPU, and moved."""

_log = logging.getLogger(__name__)


def wrap(model: Any, run: TrainingRun, config: peft.PeftConfig | None) -> Any:
    """The model with what `config` trains in it, still on the meta device; None trains every parameter.

    `model` is changed, as PEFT does it, and left half changed by an error; `config` is not. Gradient
    checkpointing is enabled before, as transformers does it, which has the embeddings' outputs require gradients.
    PEFT's warnings are logged. Raises `InputError` where the config does not suit the model.
    """
    if config is None:
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return model
    config = copy.deepcopy(config)
    _bound_patterns(model, config)
    _settle(model, config)
    names = _linear_names(model)
    # everything is made on the meta device, buffers too; `low_cpu_mem_usage` leaves those on the CPU
    place = contextlib.nullcontext() if config.peft_type in _VALUES_AT_BUILD else torch.device("meta")
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            with place, readable_by_peft():
                wrapped: Any = peft.get_peft_model(model, config, ADAPTER)
        except Exception as error:
            raise _refused(error, config, model, names) from None
    for warning in caught:
        _log.info("PEFT: %s", warning.message)
    if run.adapter_dtype != "float32":
        cast_adapters(wrapped, config, getattr(torch, run.adapter_dtype))
    _to_meta(wrapped)
    if getattr(wrapped, "prompt_tokens", None):
        # indices that stay on the host until each forward pass
        wrapped.prompt_tokens = {name: torch.arange(ids.numel()) for name, ids in wrapped.prompt_tokens.items()}
    return wrapped


def _settle(model: Any, config: Any) -> None:
    """What a config leaves open and PEFT would ask for, or answer with values."""
    if config.peft_type == "IA3" and config.target_modules and config.feedforward_modules is None:
        # PEFT wants them given where it has no default for the model type
        if model.config.model_type not in TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING:
            config.feedforward_modules = set()
    elif config.peft_type == "SHIRA":
        config.mask_fn = _as_many_ones
    elif config.peft_type == "TRAINABLE_TOKENS":
        _check_tokens(model, config.token_indices)
    tokens = getattr(config, "trainable_token_indices", None)
    for indices in tokens.values() if isinstance(tokens, dict) else [tokens or []]:
        _check_tokens(model, indices)


def _as_many_ones(base_layer: nn.Module, r: int, **_: Any) -> torch.Tensor:
    """SHiRA's mask, of which only the number of ones counts: `r * (in + out)`, in any shape of two dimensions."""
    sides: Any = base_layer
    return torch.ones(r * (sides.in_features + sides.out_features), 1, device="cpu")


def _check_tokens(model: Any, indices: list[int]) -> None:
    rows = model.get_input_embeddings().num_embeddings
    wrong = [index for index in indices if not 0 <= index < rows]
    if wrong:
        raise InputError(
            f"token {wrong[0]:,} is to be trained, but this model has tokens 0 to {rows - 1:,}; choose among them",
            field="trainable_token_count",
        )


def _bound_patterns(model: nn.Module, config: Any) -> None:
    """Raise `InputError` for an expression that takes too long to match: PEFT matches without a limit."""
    names = [name for name, _ in model.named_modules()] + [name for name, _ in model.named_parameters()]
    patterns = [("target_modules", config.target_modules)] if hasattr(config, "target_modules") else []
    for field in ("exclude_modules", "modules_to_save", "layers_pattern", "rank_pattern", "alpha_pattern"):
        value = getattr(config, field, None)
        patterns += [(field, item) for item in ([value] if isinstance(value, str) else value or ())]
    for field, pattern in patterns:
        if isinstance(pattern, str) and pattern != "all-linear":
            matching(pattern, names, field=field)


def cast_adapters(model: nn.Module, config: Any, dtype: torch.dtype) -> None:
    """Give `dtype` to what `cast_adapter_dtype` (`peft/tuners/tuners_utils.py`) makes float32, and to prompts."""
    if config.peft_type != "LN_TUNING":  # its copies stay as the base's
        for layer in model.modules():
            if isinstance(layer, BaseTunerLayer):
                for group in layer.modules():
                    if isinstance(group, nn.ModuleDict | nn.ParameterDict | BufferDict) and ADAPTER in group:
                        _cast_entry(group[ADAPTER], group, dtype)
    if config.is_prompt_learning:
        model.prompt_encoder.to(dtype)


def _cast_entry(entry: Any, group: Any, dtype: torch.dtype) -> None:
    if isinstance(entry, nn.Module):
        entry.to(dtype)
    elif entry.is_floating_point():
        if isinstance(entry, nn.Parameter):
            entry.data = entry.data.to(dtype)
        else:
            group[ADAPTER] = entry.to(dtype)


def _to_meta(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and not parameter.is_meta:
                module._parameters[name] = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None and not buffer.is_meta:
                module._buffers[name] = buffer.to("meta")


def _linear_names(model: nn.Module) -> str:
    linears = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    return ", ".join(sorted(linears)[:12])


def _refused(error: Exception, config: Any, model: Any, names: str) -> InputError:
    kind, said = config.peft_type.value, first_sentence(error)
    if "specify `target_modules`" in said or "specify `feedforward_modules`" in said:
        return InputError(
            f"PEFT has no default targets of {kind} for model type {model.config.model_type!r}; "
            f"set target_modules, for example to some of {names}",
            field="target_modules",
        )
    if "not found in the base model" in said or "target_modules" in said:
        return InputError(
            f"the targets of the {kind} config do not suit this model ({said}); it has linear layers {names}",
            field="target_modules",
        )
    return InputError(f"PEFT cannot put the {kind} config on this model ({said}); change the config", field=FIELD)

"""The model of a run on the meta device: its code is transformers', its tensors have shapes only."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

import copy
from typing import Any

import torch
import transformers
from torch import nn

from planner.architecture.config_file import LoadedConfig
from planner.errors import InputError
from planner.run import TrainingRun


def build_model(run: TrainingRun, loaded: LoadedConfig) -> Any:
    """transformers' causal language model of a config, or its multimodal class where there is no other.

    Raises `InputError` where transformers does not know the architecture, or cannot build it without data.
    """
    config = transformers_config(loaded)
    try:
        with torch.device("meta"):
            model: Any = _class_of(config, loaded).from_config(
                config, dtype=getattr(torch, run.base_dtype), attn_implementation=_attention(run)
            )
    except InputError:
        raise
    except (ValueError, ImportError) as error:
        raise InputError(f"{loaded.origin}: transformers refuses it: {_in_one_line(error)}") from None
    except Exception as error:
        raise InputError(
            f"{loaded.origin}: the model cannot be built on the meta device "
            f"({type(error).__name__}: {_in_one_line(error)}); plan it without simulating"
        ) from None
    model.config.use_cache = False
    return model


def layers_of(model: Any) -> tuple[str, nn.ModuleList]:
    """The decoder layers of a model, and the name of the list that holds them.

    Raises `InputError` where there is none.
    """
    text = model.config.get_text_config()
    depth = getattr(text, "num_hidden_layers", 0)
    found = [
        (sum(parameter.numel() for parameter in module.parameters()), name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    if not found:
        raise InputError(
            f"no list of {depth} layers is in the {type(model).__name__}, so it cannot be taken apart; "
            "plan it without simulating"
        )
    most = max(size for size, _, _ in found)
    return next((name, layers) for size, name, layers in found if size == most)


def transformers_config(loaded: LoadedConfig) -> Any:
    """The config as transformers has it. Raises `InputError` where that does not know or refuses it."""
    fields = copy.deepcopy(loaded.config)
    # of the checkpoint, not of the run: what the run loads is in its own quantization and dtype
    for name in ("quantization_config", "torch_dtype", "dtype", "auto_map", "attn_implementation"):
        fields.pop(name, None)
    model_type = fields.pop("model_type", None)
    if not isinstance(model_type, str) or model_type not in transformers.CONFIG_MAPPING:
        raise InputError(
            f"{loaded.origin}: transformers {transformers.__version__} has no model of type {str(model_type)[:80]!r}; "
            "simulate a model whose code is in transformers",
            field="model",
        )
    try:
        return transformers.AutoConfig.for_model(model_type, **fields)
    except Exception as error:
        raise InputError(f"{loaded.origin}: transformers refuses the config: {_in_one_line(error)}") from None


def _class_of(config: Any, loaded: LoadedConfig) -> Any:
    autos = [transformers.AutoModelForCausalLM, transformers.AutoModelForImageTextToText]
    if hasattr(config, "vision_config"):
        autos.reverse()  # the causal class of some multimodal configs is their text part alone
    for auto in autos:
        if type(config) in auto._model_mapping:
            return auto
    raise InputError(
        f"{loaded.origin}: transformers has no language model of type {config.model_type!r} to fine-tune; "
        "choose a causal language model",
        field="model",
    )


def _attention(run: TrainingRun) -> str | None:
    # flash attention is taken for installed (`device.attention`)
    return None if "attention" in run.defaulted else run.attention


def _in_one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300].rstrip(".")

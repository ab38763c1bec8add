"""Any PEFT method, read from an `adapter_config.json`.

Nothing that the file names is loaded or imported: no base model, tokenizer, adapter, cache file or class.
"""

# os.path answers False for a path that may not be looked at or cannot be one; pathlib raises
# ruff: noqa: PTH112

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import inspect
import logging
import os
import re
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import peft
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from planner.catalogue.files import parse_mapping, read_bytes
from planner.catalogue.spelling import shown_path
from planner.errors import InputError
from planner.names import did_you_mean
from planner.run.wording import either, shown
from profiler.simulate.build.peft_fields import WrongValue, checked_fields

FIELD = "peft_config"
"""The option at fault in errors."""

FILE = "adapter_config.json"

_IGNORED = frozenset(
    (
        # where things are loaded from, and by whom the file was written
        *("base_model_name_or_path", "revision", "auto_mapping", "peft_version", "runtime_config", "megatron_core"),
        # initial values: the memory of a step does not depend on them, and they need data, weights or a tokenizer
        *("eva_config", "corda_config", "loftq_config", "lora_ga_config"),
        *("prompt_tuning_init", "prompt_tuning_init_text", "prompt_tuning_init_state_dict_path"),
        *("tokenizer_name_or_path", "tokenizer_kwargs"),
    )
)
"""Fields that are left at PEFT's defaults."""

_READS_WEIGHTS = {
    "ADAMSS": "clusters the base weights, whose values a simulation does not have",
    "FROD": "decomposes the base weights, whose values a simulation does not have",
    "XLORA": "loads adapters that were trained before",
}

_DATA_DRIVEN = re.compile(r"eva|corda|loftq|lora_ga|olora|pissa.*")
"""Values of `init_lora_weights` that compute initial values from data or weights, and then train as LoRA does."""

_log = logging.getLogger(__name__)


def read_peft_config(path: str | Path) -> peft.PeftConfig:
    """The config in an `adapter_config.json`, or in a folder that holds one, for training a causal language model.

    As in PEFT, keys that the method does not have are ignored; they are logged. Raises `InputError`, about
    `peft_config`, for anything that is not a config PEFT can train with.
    """
    file = Path(path)
    if os.path.isdir(file):
        file = file / FILE
    origin = shown_path(file)
    values: dict[str, Any] = dict(parse_mapping(read_bytes(file, field=FIELD), origin, field=FIELD))

    def fail(what: str) -> NoReturn:
        raise InputError(f"{origin}: {what}", field=FIELD)

    kind = _class_of(values, fail)
    _refuse(values, fail)
    known = {item.name for item in fields(kind) if item.init} & inspect.signature(kind).parameters.keys()
    unknown = values.keys() - known - _IGNORED
    if unknown:
        _log.info("%s: PEFT's %s has no %s; ignored", origin, kind.__name__, ", ".join(map(shown, sorted(unknown))))
    kept = {name: value for name, value in values.items() if name in known - _IGNORED}
    if isinstance(kept.get("init_lora_weights"), str) and _DATA_DRIVEN.fullmatch(kept["init_lora_weights"]):
        del kept["init_lora_weights"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = kind(**(checked_fields(kind, kept) | {"task_type": "CAUSAL_LM", "inference_mode": False}))
    except WrongValue as error:
        fail(f"{error}; correct it")
    except Exception as error:
        fail(f"PEFT refuses it ({first_sentence(error)}); correct the file")
    if "prompt_tuning_init" in known:
        config.prompt_tuning_init = "RANDOM"
    return config


def first_sentence(error: Exception) -> str:
    """What an error of PEFT says first, on one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return re.split(r"(?<=[a-z`'\])])\.(?:\s|$)", text, maxsplit=1)[0][:400]


def _class_of(values: dict[str, Any], fail: Any) -> Any:
    if "peft_type" not in values:
        fail(f"it has no peft_type, so it is no PEFT config; give an {FILE} that PEFT has written")
    name = values["peft_type"]
    types = {kind.value: config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    if not isinstance(name, str) or name not in types:
        hint = did_you_mean(name, types) if isinstance(name, str) else ""
        fail(f"PEFT {peft.__version__} has no peft_type {shown(name)}{hint or f'; it has {either(sorted(types))}'}")
    if name in _READS_WEIGHTS:
        fail(f"peft_type '{name}' {_READS_WEIGHTS[name]}; simulate another method")
    return types[name]


def _refuse(values: dict[str, Any], fail: Any) -> None:
    """The options that load or import something else."""
    task = values.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        fail(f"task_type is {shown(task)}, but causal language models are simulated; set it to CAUSAL_LM")
    for name in ("megatron_config", "arrow_config"):
        if values.get(name):
            fail(f"{name} needs modules or adapters from elsewhere, which are not loaded; set it to null")
    if values.get("shadow_model", "mirror") != "mirror":
        fail("shadow_model names a model, which is not loaded; set it to 'mirror'")

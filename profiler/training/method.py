"""What trains of a model, and in which precision: its PEFT config, its quantization and its parameters."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from planner.errors import Abstention
from planner.methods import method_of
from planner.plan import resolved_run
from planner.run import TrainingRun
from planner.run.rules import LORA_METHODS
from planner.run.wording import shown
from profiler.corpus.adapter_config import fields_of
from profiler.training.model import base_parameters, is_full

_DTYPES = {"torch.float32": "float32", "torch.bfloat16": "bfloat16", "torch.float16": "float16"}


def method_fields(model: Any, name: str) -> dict[str, object]:
    """The method and its fields, and the quantization of what it adapts. name: `TrainingRun.model`.

    Raises `Abstention` for a method, a setting of it or a quantization that the planner does not have.
    """
    configs: Mapping[str, Any] = getattr(model, "peft_config", None) or {}
    if not configs:
        if not is_full(model):
            raise Abstention("part of the model is frozen, and no adapter trains in its place")
        return {"method": "full"}
    if len(configs) > 1:
        raise Abstention(f"the model has {len(configs)} adapters ({', '.join(sorted(configs))})")
    (config,) = configs.values()
    values = {key: _plain(value) for key, value in config.to_dict().items()}
    fields = fields_of(values, None, name)
    quantization = _quantization(model)
    if fields["method"] == "lora" and quantization.get("quantization") in ("nf4", "fp4"):
        fields["method"] = "qlora"
    trained = {str(parameter.dtype) for parameter in model.parameters() if parameter.requires_grad}
    if len(trained) == 1 and (dtype := _DTYPES.get(*trained)):
        fields["adapter_dtype"] = dtype
    return fields | quantization


def with_short_targets(run: TrainingRun) -> TrainingRun:
    """The run with its targets in the fewest words: PEFT writes the names of all modules out for `all-linear`."""
    if isinstance(run.target_modules, str) or run.method not in LORA_METHODS:
        return run
    architecture, method = resolved_run(run)[1], method_of(run)
    targets = method.targets(architecture, run)
    last = tuple(sorted({name.rpartition(".")[2] for name in run.target_modules}))
    for words in ("all-linear", last):
        shorter = run.replace(target_modules=words)
        if method.targets(architecture, shorter) == targets:
            return shorter
    return run


def _quantization(model: Any) -> dict[str, object]:
    config = getattr(model.config, "quantization_config", None)
    if config is None:
        return {"quantization": "none"}
    values: Mapping[str, Any] = config if isinstance(config, dict) else config.to_dict()
    method = str(_plain(values.get("quant_method", "bitsandbytes")))
    if values.get("load_in_8bit"):
        return {"quantization": "int8"}
    if values.get("load_in_4bit"):
        scheme = values.get("bnb_4bit_quant_type", "fp4")
        return {"quantization": scheme, "double_quant": bool(values.get("bnb_4bit_use_double_quant"))}
    if method in ("gptq", "awq") and values.get("bits") == 4:
        return {"quantization": method, "group_size": values.get("group_size", 128)}
    raise Abstention(f"the planner does not have the quantization {shown(method)}")


def precision_fields(arguments: Any, model: Any, notes: list[str]) -> dict[str, object]:
    """The dtype of the base, autocast, and whether `prepare_model_for_kbit_training` has been at work."""
    mixed = "bf16" if arguments.bf16 else "fp16" if arguments.fp16 else "no"
    quantized = getattr(model.config, "quantization_config", None) is not None
    present: Counter[str] = Counter()
    for parameter in base_parameters(model):
        if (dtype := str(parameter.dtype)) in _DTYPES:
            present[dtype] += parameter.numel()
    if not quantized:
        if not present:
            raise Abstention("the base model has no parameter of 16 or 32 bits")
        ((most, _),) = present.most_common(1)
        if len(present) > 1:
            notes.append(f"the base model's parameters are of several dtypes; all are planned as {_DTYPES[most]}")
        return {"base_dtype": _DTYPES[most], "mixed_precision": mixed}
    loaded = str(getattr(model.config, "dtype", None))
    upcast = loaded != "torch.float32" and present.keys() == {"torch.float32"}
    fields: dict[str, object] = {"base_dtype": _DTYPES.get(loaded, "bfloat16"), "mixed_precision": mixed}
    if _quantization(model)["quantization"] != "gptq":
        fields["prepare_kbit"] = upcast
    return fields


def _plain(value: Any) -> Any:
    """A value of a config as JSON would have it."""
    if isinstance(value, set | frozenset | tuple):
        items: Iterable[Any] = value
        return sorted(items) if isinstance(value, set | frozenset) else list(items)
    return getattr(value, "value", value)

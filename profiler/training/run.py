"""The `TrainingRun` that a `Trainer` carries out, read from its arguments, its model and its optimizer."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.architecture.config import Config
from planner.architecture.config_file import cached_snapshot
from planner.architecture.families import build
from planner.architecture.modules import Architecture
from planner.catalogue.models import match_model
from planner.errors import Abstention, InputError
from planner.plan import resolve
from planner.run import TrainingRun
from planner.run.wording import shown
from planner.versions import NEWEST, major_minor
from profiler.training.method import method_fields, precision_fields, with_short_targets
from profiler.training.model import class_name

_ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3")


@dataclass(frozen=True, slots=True)
class DerivedRun:
    """A run, and what of the training it does not say."""

    run: TrainingRun
    notes: tuple[str, ...]


def derived_run(
    arguments: Any, model: Any, optimizer: Any, *, micro_batch: int, sequence: int | None, folder: Path
) -> DerivedRun:
    """The run of a `Trainer`.

    arguments: `TrainingArguments`. model: a transformers model, with PEFT's around it or alone. optimizer: of torch, or
    accelerate's around one. micro_batch: sequences of a forward pass. sequence: tokens of the longest one; None where
    that is not known. folder: where the model's config is written where no file has it. Raises `Abstention` for a
    setting that moves memory and that a run cannot say, and `InputError` where settings contradict each other.
    """
    notes: list[str] = []
    name = model_name(model, folder)
    fields: dict[str, object] = {
        "model": name,
        **method_fields(model, name),
        **precision_fields(arguments, model, notes),
        "optimizer": _optimizer(arguments, optimizer, notes),
        "micro_batch_size": micro_batch,
        "gradient_accumulation_steps": arguments.gradient_accumulation_steps,
        "max_grad_norm": float(arguments.max_grad_norm or 0),
        "eval_batch_size": arguments.per_device_eval_batch_size if _evaluates(arguments) else 0,
        "attention": _attention(model),
        "kernels": "liger" if getattr(arguments, "use_liger_kernel", False) else "hf",
        "trainer": _trainer(arguments),
        "empty_cache": getattr(arguments, "torch_empty_cache_steps", None) == 1,
        "packing": bool(getattr(arguments, "packing", False)),
        # of TRL's SFTConfig: the head and the loss in chunks of tokens
        "chunked_loss": getattr(arguments, "loss_type", None) == "chunked_nll",
        **_checkpointing(arguments, model, notes),
        **_strategy(arguments),
        **_versions(),
    }
    if sequence is not None:
        fields["sequence_length"] = sequence
    else:
        notes.append("how long the longest sequence is, is not known; the plan is for the default length")
    if getattr(arguments, "torch_compile", False):
        notes.append("torch.compile changes what is saved for the backward pass, which the plan leaves out of account")
    if getattr(arguments, "activation_offloading", False):
        notes.append("TRL keeps activations in host memory, which the plan leaves out of account")
    if (getattr(arguments, "torch_empty_cache_steps", None) or 1) > 1:
        notes.append("the cache is emptied every few steps only, and planned as if it were kept")
    if Path(name).parent == folder:
        notes.append("the model's config is in no file here; for the plan it was written to one that is gone by now")
    return DerivedRun(with_short_targets(TrainingRun(**fields)), tuple(notes))


def model_name(model: Any, folder: Path) -> str:
    """What `TrainingRun.model` says of a model in memory: the name that it was loaded by, where what that stands for
    here (nothing is fetched) is the same architecture; else the path of its config, which is written into `folder`."""
    config = json.loads(model.config.to_json_string(use_diff=False))
    name = str(getattr(model.config, "_name_or_path", "") or "")
    if name and _is_here(name):
        try:
            if _shape(resolve(name)[1]) == _shape(build(Config(config, name))):
                return name
        except (InputError, Abstention):
            pass
    path = folder / f"{class_name(model)}.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def _shape(architecture: Architecture) -> tuple[object, ...]:
    return (architecture.model_type, architecture.blocks, architecture.outer, architecture.program)


def _is_here(name: str) -> bool:
    return os.path.lexists(name) or match_model(name) is not None or cached_snapshot(name) is not None


def _optimizer(arguments: Any, optimizer: Any, notes: list[str]) -> str:
    """`optim`, or what torch's own AdamW says of itself: `Trainer` can be handed an optimizer."""
    inner = getattr(optimizer, "optimizer", optimizer)
    said = str(getattr(arguments.optim, "value", arguments.optim))
    kind = type(inner)
    if kind.__name__ == "AdamW" and kind.__module__.startswith("torch."):
        return "adamw_torch_fused" if inner.defaults.get("fused") else "adamw_torch"
    if said.startswith("adamw_torch") and inner is not None:
        notes.append(f"the optimizer is {kind.__name__}, and not the {said} of the arguments that is planned")
    return said


def _evaluates(arguments: Any) -> bool:
    strategy = getattr(arguments, "eval_strategy", "no")
    return str(getattr(strategy, "value", strategy)) != "no"


def _attention(model: Any) -> str:
    name = str(getattr(model.config, "_attn_implementation", "sdpa") or "sdpa")
    if name not in _ATTENTION:
        raise Abstention(f"the planner does not have the attention {shown(name)}")
    return name


def _trainer(arguments: Any) -> str:
    if not type(arguments).__module__.startswith("trl."):
        return "transformers"
    from importlib.metadata import version

    # from 0.26 on head and embeddings stay as they are (`planner.trainers`)
    return "trl" if major_minor(version("trl")) < (0, 26) else "transformers"


def _checkpointing(arguments: Any, model: Any, notes: list[str]) -> dict[str, object]:
    on = _either(arguments, "activation_checkpointing", "gradient_checkpointing")
    # called so up to transformers 5.22
    named = (
        "is_activation_checkpointing" if hasattr(model, "is_activation_checkpointing") else "is_gradient_checkpointing"
    )
    if not (on or getattr(model, named, False)):
        return {"gradient_checkpointing": False}
    given: Mapping[str, Any] = (
        _either(arguments, "activation_checkpointing_kwargs", "gradient_checkpointing_kwargs") or {}
    )
    if not on:
        notes.append("gradient checkpointing was switched on at the model; its settings are taken to be the defaults")
    fields: dict[str, object] = {"gradient_checkpointing": True}
    names = {"use_reentrant": "use_reentrant", "every_n_layers": "checkpoint_every", "offload": "checkpoint_offload"}
    fields |= {field: given[name] for name, field in names.items() if given.get(name) is not None}
    return fields


def _strategy(arguments: Any) -> dict[str, object]:
    count = int(arguments.world_size)
    if getattr(arguments, "n_gpu", 1) > 1:
        raise Abstention(f"one process trains on {arguments.n_gpu} cards (torch's DataParallel)")
    if count == 1:
        return {"num_gpus": 1}
    plugin = getattr(arguments, "deepspeed_plugin", None)
    if plugin is not None:
        return {"num_gpus": count, "strategy": f"zero{plugin.zero_stage}" if plugin.zero_stage else "ddp"}
    if getattr(arguments, "fsdp", None):
        version = int((getattr(arguments, "fsdp_config", None) or {}).get("version", 2))
        return {"num_gpus": count, "strategy": "fsdp2" if version == 2 else "fsdp"}
    return {"num_gpus": count, "strategy": "ddp"}


def _versions() -> dict[str, object]:
    """The installed transformers, where it is older than the one that the formulas follow."""
    import transformers

    installed = transformers.__version__
    return {"transformers_version": installed} if major_minor(installed) < NEWEST else {}


def _either(arguments: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(arguments, name, None))), None)

"""The optimizer of a run as `Trainer` makes it, its step, and gradient clipping, on fake tensors."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false, reportPrivateImportUsage=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from math import ceil
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn

from planner.optimizers import Trained
from planner.optimizers import optimizer as planned
from planner.optimizers.bnb_optimizers import BnbOptimizer
from planner.optimizers.clipping import CHUNK
from planner.run import TrainingRun
from profiler.simulate.device import bitsandbytes as device


class Roles(NamedTuple):
    """Names of parameters that `Trainer` treats apart."""

    decayed: frozenset[str]
    """Those of the first parameter group, with weight decay: neither biases nor of norms."""
    embeddings: frozenset[str]
    """Weights of `nn.Embedding`, whose 8-bit optimizer keeps its states in 32 bits."""


def roles(model: nn.Module) -> Roles:
    """The roles of a model's parameters, which may be on the meta device."""
    from transformers import Trainer

    itself: Any = None  # the method reads nothing of its trainer
    decayed = Trainer.get_decay_parameter_names(itself, model)
    embeddings = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    return Roles(frozenset(decayed), frozenset(f"{name}.weight" for name in embeddings))


def make_optimizer(
    run: TrainingRun, named_parameters: Iterable[tuple[str, nn.Parameter]], roles: Roles
) -> torch.optim.Optimizer:
    """The optimizer that `Trainer.create_optimizer` makes of the trained among `named_parameters`.

    Its arguments are the defaults of `TrainingArguments`. bitsandbytes' optimizers are made, and stepped, within
    `device.bitsandbytes.as_on_cuda`. Raises `Abstention` for GaLore, which needs what a run does not state, and
    `InputError` where bitsandbytes has no kernel for the gradients' dtype.
    """
    trained = [(name, parameter) for name, parameter in named_parameters if parameter.requires_grad]
    planned(run.optimizer).state_bytes(_described(name, parameter, roles) for name, parameter in trained)
    groups = [
        {"params": [p for name, p in trained if name in roles.decayed], "weight_decay": 0.0},
        {"params": [p for name, p in trained if name not in roles.decayed], "weight_decay": 0.0},
    ]
    made, arguments = _class_and_arguments(run.optimizer)
    if made.__module__.startswith("torch.optim") and not arguments.get("fused"):
        arguments["foreach"] = True  # torch's default on CUDA, which it does not see behind fake tensors
    optimizer: Any = made(groups, **arguments)
    if isinstance(planned(run.optimizer), BnbOptimizer):
        _on_its_own(optimizer, [p for name, p in trained if name in roles.embeddings])
    return optimizer


def _described(name: str, parameter: nn.Parameter, roles: Roles) -> Trained:
    dtype = str(parameter.dtype).removeprefix("torch.")
    return Trained(tuple(parameter.shape), dtype, embedding=name in roles.embeddings)


def _class_and_arguments(name: str) -> tuple[Any, dict[str, Any]]:
    from transformers import Trainer
    from transformers.training_args import OptimizerNames

    defaults: Any = SimpleNamespace(
        optim=OptimizerNames(name),
        optim_args=None,
        learning_rate=5e-5,
        weight_decay=0.0,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
    )
    if isinstance(planned(name), BnbOptimizer):
        device.load()
    return Trainer.get_optimizer_cls_and_kwargs(defaults)


def _on_its_own(optimizer: Any, embeddings: list[nn.Parameter]) -> None:
    """bitsandbytes keeps overrides by `id` and paged buffers in objects of the process; give it ones of its own."""
    from bitsandbytes.functional import GlobalPageManager
    from bitsandbytes.optim.optimizer import GlobalOptimManager

    optimizer.mng = GlobalOptimManager.__new__(GlobalOptimManager)
    optimizer.mng.initialize()
    optimizer.page_mng = GlobalPageManager.__new__(GlobalPageManager)
    optimizer.page_mng.initialize()
    if optimizer.args.optim_bits == 8:
        optimizer.mng.override_config(embeddings, "optim_bits", 32)


def step(optimizer: torch.optim.Optimizer) -> None:
    """One step. The first makes the states, those of Adagrad apart, which come with the optimizer."""
    with contextlib.ExitStack() as stack:
        for name in ("adam", "adagrad"):
            stack.enter_context(mock.patch.object(sys.modules[f"torch.optim.{name}"], "_get_value", _first_step))
        optimizer.step()


def _first_step(_counter: Any) -> float:
    """How often an optimizer has stepped, which a fake tensor does not know."""
    return 1.0


def clip(parameters: Iterable[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Clip gradients by norm, as `Accelerator.clip_grad_norm_` does, and return the norm they had.

    `Trainer` calls it for the norm alone, with an infinite `max_norm`, where a run does not clip (5.23).
    """
    norms = torch._foreach_norm

    def with_partial_sums(tensors: list[torch.Tensor], *args: Any) -> Any:
        # `foreach_tensor_norm_cuda`: a sum for every chunk that the largest tensor has, for every tensor
        chunks = max(ceil(tensor.numel() / CHUNK) for tensor in tensors)
        sums = torch.zeros(len(tensors) * chunks, dtype=torch.float32, device=tensors[0].device)
        found = norms(tensors, *args)
        del sums
        return found

    with mock.patch.object(torch, "_foreach_norm", with_partial_sums):
        return torch.nn.utils.clip_grad_norm_(list(parameters), max_norm, foreach=True)

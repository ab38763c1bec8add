"""What the tensors of a model in training take, by component."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

ADAPTERS = "adapters"
BASE_WEIGHTS = "base_weights"
GRADIENTS = "gradients"
OPTIMIZER_STATES = "optimizer_states"


def base_parameters(model: Any) -> Iterator[Any]:
    """The base model's parameters, those of adapters left out."""
    full = is_full(model)
    return (parameter for parameter in model.parameters() if full or not parameter.requires_grad)


def is_full(model: Any) -> bool:
    """Whether every parameter is trained."""
    return all(parameter.requires_grad for parameter in model.parameters())


def class_name(model: Any) -> str:
    """`LlamaForCausalLM`, with PEFT around it or without."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(inner).__name__


def counts(model: Any) -> tuple[int, int]:
    """All parameters and those that are trained, as PEFT counts them: one of 4 bits is one."""
    if hasattr(model, "get_nb_trainable_parameters"):
        trained, total = model.get_nb_trainable_parameters()
        return total, trained
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, requires_grad in sizes if requires_grad)


def held_bytes(model: Any, optimizer: Any) -> dict[str, int]:
    """Component -> bytes of its tensors now, those in host memory of a run on a card left out.

    Parameters are counted as what they are stored in, with the scales of bitsandbytes' 4-bit ones; what FSDP shards, as
    this rank's share.
    """
    full = is_full(model)
    parameters = list(model.parameters())
    device = parameters[0].device
    base = [parameter for parameter in parameters if full or not parameter.requires_grad]
    adapters = [parameter for parameter in parameters if not full and parameter.requires_grad]
    scales = [tensor for parameter in base for tensor in _quantization_tensors(parameter)]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    inner = getattr(optimizer, "optimizer", optimizer)
    states = [] if inner is None else list(_tensors(getattr(inner, "state", {}).values()))
    return {
        BASE_WEIGHTS: _bytes([*base, *scales, *model.buffers()], device),
        ADAPTERS: _bytes(adapters, device),
        GRADIENTS: _bytes(gradients, device),
        OPTIMIZER_STATES: _bytes(states, device),
    }


def _bytes(tensors: Iterable[Any], device: Any) -> int:
    """Of their storages, each counted once."""
    storages: dict[int, int] = {}
    for tensor in tensors:
        local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
        if local.device == device:
            storage = local.untyped_storage()
            storages[storage.data_ptr() or id(storage)] = storage.nbytes()
    return sum(storages.values())


def _quantization_tensors(parameter: Any) -> Iterator[Any]:
    state = getattr(parameter, "quant_state", None)
    for part in (state, getattr(state, "state2", None)):
        if part is not None:
            yield from (tensor for tensor in (part.absmax, part.code) if isinstance(tensor, torch.Tensor))
    for name in ("CB", "SCB"):
        tensor = getattr(parameter, name, None)
        if isinstance(tensor, torch.Tensor):
            yield tensor


def _tensors(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors(value.values())
        elif isinstance(value, list | tuple):
            yield from _tensors(value)

"""What makes two layers of a model the same: their modules, parameters and settings, but not their number."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import nn

_NUMBERS = frozenset({"layer_idx", "layer_id", "layer_number", "layer_index", "block_idx", "idx"})
"""What modules call their own position."""


def kinds_of(layers: nn.ModuleList, config: Any) -> list[Hashable]:
    """A value for each layer, equal where the layers are alike.

    Settings are compared too (`sliding_window`, `is_causal`, an adapter's rank); one that changes with every
    layer makes every layer a kind of its own, which costs time and no accuracy. Layers before the first that is
    trained are apart, and so is that one: gradients may end there.
    """
    types = getattr(config.get_text_config(), "layer_types", None) or [None] * len(layers)
    trained = [any(parameter.requires_grad for parameter in layer.parameters()) for layer in layers]
    first = trained.index(True) if True in trained else 0
    return [
        (layer_type, first > 0 and (position > first) - (position < first), _signature(layer))
        for position, (layer_type, layer) in enumerate(zip(types, layers, strict=True))
    ]


def _signature(layer: nn.Module) -> Hashable:
    return tuple(
        (
            name,
            type(module).__qualname__,
            tuple(
                (key, None if parameter is None else (tuple(parameter.shape), parameter.dtype, parameter.requires_grad))
                for key, parameter in module._parameters.items()
            ),
            tuple(
                (key, value)
                for key, value in vars(module).items()
                if isinstance(value, int | float | str) and key not in _NUMBERS
            ),
        )
        for name, module in layer.named_modules()
    )


def reduce(model: Any, name: str, layers: nn.ModuleList, kept: tuple[int, ...]) -> None:
    """Leave only the `kept` layers in a model, and only their entries in the per-layer lists of its config."""
    depth = len(layers)
    parent = model.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.ModuleList([layers[layer] for layer in kept]))
    seen: set[int] = set()
    for module in model.modules():
        config = getattr(module, "config", None)
        if config is None or not hasattr(config, "get_text_config"):
            continue
        text = config.get_text_config()
        if id(text) in seen:
            continue
        seen.add(id(text))
        if text.num_hidden_layers != depth:
            continue
        text.num_hidden_layers = len(kept)
        for key, value in vars(text).items():
            if isinstance(value, list) and len(value) == depth:
                setattr(text, key, [value[layer] for layer in kept])

"""Models some of whose layers attend to a sliding window: which do, and the masks a forward pass makes.

Source: `transformers/configuration_utils.py` (`layer_types`), each model's calls of `create_*_mask` (5.23).
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.architecture.config import Config
from planner.architecture.modules import Block, Module
from planner.errors import InputError

FULL, SLIDING = "full", "sliding"
"""Kinds of blocks: attention to all tokens before, or to those in the window."""

_KINDS = {"full_attention": FULL, "sliding_attention": SLIDING}


def layer_kinds(config: Config, default: Sequence[str]) -> tuple[str, ...]:
    """`FULL` or `SLIDING` for each layer, as `layer_types` says; `default` where the config has none."""
    names = config.list("layer_types", of=str, length=len(default), default=None)
    if names is None:
        return tuple(default)
    for name in names:
        if name not in _KINDS:
            raise InputError(
                f"'layer_types' in {config.origin} has '{name}'; write full_attention or sliding_attention",
                field="model",
            )
    return tuple(_KINDS[name] for name in names)


def window_of_last_layers(config: Config) -> tuple[int | None, tuple[str, ...]]:
    """Window and kinds of layers of Qwen 2 and 3: with `use_sliding_window`, from `max_window_layers` on."""
    count = config.int("num_hidden_layers", minimum=1)
    window = None
    if config.bool("use_sliding_window", default=False):
        missing = None if config.states("sliding_window") else 4096
        window = config.int("sliding_window", minimum=1, default=missing)
    start = count if window is None else config.int("max_window_layers", minimum=0, default=28)
    kinds = layer_kinds(config, [SLIDING if layer >= start else FULL for layer in range(count)])
    require_window(config, window, kinds)
    return window, kinds


def require_window(config: Config, window: int | None, kinds: Sequence[str]) -> None:
    """Raise `InputError` where layers are to slide and no window says how far."""
    if window is None and SLIDING in kinds:
        raise InputError(
            f"'layer_types' in {config.origin} has sliding_attention without a sliding window; state 'sliding_window'",
            field="model",
        )


def attention_windows(window: int | None, kinds: Sequence[str]) -> tuple[int | None, ...]:
    """The masks made: always a full one, and one of the window if a layer slides."""
    return (None, window) if SLIDING in kinds else (None,)


def blocks_of(kinds: Sequence[str], modules: tuple[Module, ...]) -> tuple[Block, ...]:
    """One block per kind that occurs, all of the same modules."""
    return tuple(
        Block(kind, modules, tuple(layer for layer, own in enumerate(kinds) if own == kind))
        for kind in dict.fromkeys(kinds)
    )

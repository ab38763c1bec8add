"""Checkpointing, as `TrainingArguments` asks for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import Json

SWITCHES = ("activation_checkpointing", "gradient_checkpointing")
KWARGS = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
"""The older name of each comes second."""

_FIELDS = {"use_reentrant": "use_reentrant", "every_n_layers": "checkpoint_every", "offload": "checkpoint_offload"}
"""Argument -> the field of the run that it is."""

_HARMLESS = ("preserve_rng_state", "determinism_check", "debug", "early_stop")
"""Of `torch.utils.checkpoint`: the generator's state is some bytes, and the rest are checks."""


def read_checkpointing(reader: Reader, by_default: bool) -> None:
    """Take the switch and its arguments. by_default: whether activations are recomputed where nothing says so."""
    on = by_default
    # the older name counts where the newer one is not set (`TrainingArguments.__post_init__`)
    names = [key for key in SWITCHES if reader.has(key)]
    if names:
        on = bool(reader.flag(names[0]))
        reader.becomes(names[0], gradient_checkpointing=on)
        reader.ignores(*names[1:], why=f"{names[0]} decides")
    if on:
        read_checkpointing_kwargs(reader)
    else:
        reader.ignores(*KWARGS, why="nothing is checkpointed")


def read_checkpointing_kwargs(reader: Reader) -> None:
    """Take the arguments of checkpointing, which is on."""
    given = [key for key in KWARGS if reader.has(key)]
    for key in given[:1]:
        _arguments(reader, key)
    reader.ignores(*given[1:], why=f"{KWARGS[0]} decides")


def _arguments(reader: Reader, key: str) -> None:
    arguments = _mapping(reader, key)
    nested = bool(arguments) and isinstance(reader.raw(key), dict)
    for name, value in arguments.items():
        where = f"{key}.{name}" if nested else key
        if name in _FIELDS:
            reader.becomes(where, **{_FIELDS[name]: value})
        elif name in _HARMLESS:
            reader.ignores(where)
        else:
            reader.uncounted(where, f"what {name} does to checkpointing is not planned")
    if not nested:
        reader.ignores(key)


def _mapping(reader: Reader, key: str) -> Mapping[str, Json]:
    """A mapping, which may be written as JSON in text, as `TrainingArguments` takes it."""
    value = reader.raw(key)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            found: object = json.loads(value)
        except (ValueError, RecursionError):
            raise reader.wrong(key, "a mapping") from None
        if isinstance(found, dict):
            return cast("dict[str, Json]", found)
    return reader.mapping(key) or {}

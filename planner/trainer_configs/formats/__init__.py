"""The trainers whose configs are read: one module for each, and what tells them apart."""

from __future__ import annotations

from importlib import import_module

from planner.trainer_configs.format import ConfigFormat

FORMATS = ("run", "torchtune", "axolotl", "llamafactory", "peft", "deepspeed", "accelerate", "trl")
"""Names of formats, each a module here with a `FORMAT`: where two match, the first is taken. What is most like others
comes last."""


def load_format(name: str) -> ConfigFormat:
    """The format called `name`, which is one of `FORMATS`."""
    return import_module(f"{__name__}.{name}").FORMAT

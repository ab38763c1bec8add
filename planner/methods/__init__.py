"""Training methods: one file each behind `Method`.

A method says which modules it touches, which tensors it adds to them and how their forward pass changes.
"""

from __future__ import annotations

from importlib import import_module

from planner.methods.base import AddedTensor, Method, Wrapped
from planner.run import TrainingRun

METHODS: dict[str, str] = {
    "full": "full",
    "lora": "lora",
    "qlora": "lora",
    "dora": "lora",
    "rslora": "lora",
    "ia3": "ia3",
    "prompt_tuning": "prompt_tuning",
    "prefix_tuning": "prefix_tuning",
    "p_tuning": "p_tuning",
    "ln_tuning": "ln_tuning",
    "trainable_tokens": "trainable_tokens",
}
"""`TrainingRun.method` -> module of this package."""

__all__ = ["METHODS", "AddedTensor", "Method", "Wrapped", "method_of"]


def method_of(run: TrainingRun) -> Method:
    """The method of a run."""
    chosen: Method = import_module(f"{__name__}.{METHODS[run.method]}").METHOD
    return chosen

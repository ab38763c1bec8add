"""Optimizers: what each keeps for every trained tensor, and what its step allocates on top.

One table, `OPTIMIZERS`, of small objects behind `Optimizer`. Names are values of transformers'
`OptimizerNames`; which class and which arguments each stands for is `transformers/trainer_optimizer.py`
(5.23), with the defaults of `TrainingArguments` (no weight decay, no `optim_args`). States exist after the
first step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from planner.errors import Abstention
from planner.optimizers.adafactor import Adafactor
from planner.optimizers.bnb_optimizers import BnbOptimizer
from planner.optimizers.clipping import clip_temporaries, clip_traffic
from planner.optimizers.tensors import StateBytes, Trained
from planner.optimizers.torch_optimizers import TorchOptimizer

__all__ = ["OPTIMIZERS", "Optimizer", "StateBytes", "Trained", "clip_temporaries", "clip_traffic", "optimizer"]


class Optimizer(Protocol):
    """One optimizer."""

    def state_bytes(self, tensors: Iterable[Trained]) -> StateBytes:
        """Bytes of its states for the trained tensors, on the device and in host memory."""
        ...

    def step_temporaries(self, tensors: Iterable[Trained]) -> int:
        """Most bytes alive on the device in a step, the first apart, beside parameters, gradients and states.

        `tensors` are those of one parameter group: groups are stepped one after another, so of several the
        largest result counts. `Trainer` makes two, with and without weight decay; the second holds biases
        and norms.
        """
        ...

    def step_traffic(self, tensors: Iterable[Trained]) -> int:
        """Bytes that a step reads and writes: its passes over parameters, gradients, states and intermediate lists."""
        ...


OPTIMIZERS: dict[str, Optimizer] = {
    "adamw_torch": TorchOptimizer(states=2, step="cpu", copies=1, passes=19),
    "adamw_torch_fused": TorchOptimizer(states=2, step="device", copies=0, passes=7),
    "sgd": TorchOptimizer(states=0, step="none", copies=0, passes=3),
    "adagrad": TorchOptimizer(states=1, step="cpu", copies=2, passes=14),
    "rmsprop": TorchOptimizer(states=1, step="cpu", copies=1, passes=14),
    "adafactor": Adafactor(),
    "adamw_bnb_8bit": BnbOptimizer(states=2, bits=8),
    "paged_adamw_8bit": BnbOptimizer(states=2, bits=8, paged=True),
    "paged_adamw_32bit": BnbOptimizer(states=2, bits=32, paged=True),
    "lion_8bit": BnbOptimizer(states=1, bits=8),
    "lion_32bit": BnbOptimizer(states=1, bits=32),
    "paged_lion_8bit": BnbOptimizer(states=1, bits=8, paged=True),
    "paged_lion_32bit": BnbOptimizer(states=1, bits=32, paged=True),
    "rmsprop_bnb": BnbOptimizer(states=1, bits=32, bfloat16_in_32bit=False),
    "rmsprop_bnb_32bit": BnbOptimizer(states=1, bits=32, bfloat16_in_32bit=False),
    "rmsprop_bnb_8bit": BnbOptimizer(states=1, bits=8, bfloat16_in_32bit=False),
    "ademamix": BnbOptimizer(states=3, bits=32),
    "ademamix_8bit": BnbOptimizer(states=3, bits=8),
    "paged_ademamix_32bit": BnbOptimizer(states=3, bits=32, paged=True),
    "paged_ademamix_8bit": BnbOptimizer(states=3, bits=8, paged=True),
}
"""`TrainingRun.optimizer` -> what it keeps; the names missing here abstain."""


def optimizer(name: str) -> Optimizer:
    """The optimizer of a run. Raises `Abstention` for one whose memory is not known (GaLore)."""
    found = OPTIMIZERS.get(name)
    if found is None:
        reason = f"the states of optimizer '{name}' are not known"
        if name.startswith("galore"):
            reason = f"optimizer '{name}' needs optim_target_modules, which a run does not state"
        raise Abstention(reason, way_out="plan with adamw_torch_fused or adamw_bnb_8bit instead")
    return found

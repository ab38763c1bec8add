"""What a trace is made of: windows of a step, and the allocations and frees in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

BASE_WEIGHTS = "base_weights"
ADAPTERS = "adapters"
OPTIMIZER_STATES = "optimizer_states"
GRADIENTS = "gradients"
SAVED = "saved_activations"
LOSS = "logits_and_loss"
TEMPORARY = "temporaries"
RUNTIME = "runtime"

LOAD = "load"
EMBED = "embed"
FORWARD = "forward"
HEAD = "head"
LOSS_BACKWARD = "loss_backward"
BACKWARD = "backward"
AFTER = "after"
CLIP = "clip"
OPTIMIZER = "optimizer"
ZERO_GRAD = "zero_grad"

EVALUATION = -1
"""The `part` of windows of an evaluation pass."""

MADE = -2
"""The `part` of the window in which the optimizer is made."""

BASE, UPCAST, ADDED = 0, 10, 20
"""The `part` of load windows in which the base is loaded, its rest cast to float32, and the adapter placed; one
more of each for what comes after the layers."""


class Window(NamedTuple):
    """A stretch of a step between two marks."""

    phase: str
    """load, embed, forward, head, loss_backward, backward, after, clip, optimizer or zero_grad."""
    layer: int | None = None
    """The decoder layer that is running, for forward and backward."""
    part: int = 0
    """The micro-batch of the step, the number of the optimizer's step, or EVALUATION."""


@dataclass(slots=True)
class Allocation:
    """One storage on the device."""

    size: int
    """Bytes asked for."""
    window: int
    """Position in `Trace.windows` of the window that it is made in."""
    number: int
    """Its number among the allocations of that window."""
    operator: str
    """`aten.mm.default`; empty for what is placed rather than computed."""
    module: str
    """The module whose forward pass runs, relative to its layer; empty in a backward pass."""
    component: str = TEMPORARY
    recomputed: bool = False
    """Whether it is made while a checkpointed layer runs again."""


class Free(NamedTuple):
    """The end of an allocation: the window and the number by which `Allocation` is known."""

    window: int
    number: int


Step = Allocation | Free
"""One entry of a window."""


@dataclass(slots=True)
class WindowTrace:
    """What happened in one window, in order."""

    window: Window
    steps: list[Step] = field(default_factory=list["Step"])
    allocations: list[Allocation] = field(default_factory=list[Allocation])
    """Those of `steps`, by their number."""


@dataclass(slots=True)
class Trace:
    """A traced stretch of training."""

    windows: list[WindowTrace] = field(default_factory=list[WindowTrace])
    gradients: dict[str, Free] = field(default_factory=dict[str, Free])
    """Parameter's name -> the allocation that its gradient lives in, at the end of the trace."""

    def allocation(self, free: Free) -> Allocation:
        """The allocation that a free ends."""
        return self.windows[free.window].allocations[free.number]

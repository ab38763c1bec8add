"""DDP: every GPU holds the whole run, and the gradients a second time, in the buckets that are reduced."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from planner.run import TrainingRun
from planner.strategies.base import Strategy
from planner.units import MIB

if TYPE_CHECKING:
    from planner.architecture.modules import Architecture
    from planner.memory.weights import BaseWeights
    from planner.methods.counting import TrainableSummary

BROADCAST = 250 * MIB
"""Size of the flat copies in which the first weights are sent to the other GPUs (`_sync_module_states`)."""

IN_FLIGHT = 2
"""How many of them there are at once (`max_in_flight` of `broadcast_coalesced` in `c10d/comm.cpp`)."""


class DistributedDataParallel(Strategy):
    """`torch.nn.parallel.DistributedDataParallel` as accelerate wraps a model in it.

    Source: `torch/csrc/distributed/c10d/reducer.cpp` (2.13). With `gradient_as_bucket_view=False`, the default of
    accelerate's `DistributedDataParallelKwargs` (1.15), gradients stay where autograd made them, and are copied into
    flat buckets, which are there from construction on (`initialize_buckets`; rebuilt after the first step, the old ones
    freed before) and have all trained parameters, those without a gradient included, in the parameters' dtype.
    """

    def weights(self, architecture: Architecture, run: TrainingRun, whole: BaseWeights) -> BaseWeights:
        """All of them; what loading takes is at least the flat copies of the first broadcast."""
        copies = min(whole.bytes, IN_FLIGHT * BROADCAST)
        return replace(whole, load_temporaries=max(whole.load_temporaries, copies))

    def buckets(self, trained: TrainableSummary) -> int:
        """As many bytes as everything trained."""
        return trained.parameter_bytes

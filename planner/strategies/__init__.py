"""Strategies: how several GPUs share a run, and what each of them then holds. One file per strategy behind `Strategy`.

All figures are those of one GPU (rank 0); every GPU has a micro-batch of its own.
"""

from __future__ import annotations

from functools import cache

from planner.errors import Abstention
from planner.run import TrainingRun
from planner.strategies.base import Strategy

__all__ = ["KNOWN", "Strategy", "strategy_of"]

KNOWN = ("ddp", "fsdp")
"""Values of `TrainingRun.strategy` for several GPUs whose memory is known; the others abstain."""


def strategy_of(run: TrainingRun) -> Strategy:
    """The strategy of a run. Raises `Abstention` for one whose memory is not known."""
    # one process joins no group: accelerate leaves its model as it is
    found = _named(run.strategy if run.num_gpus > 1 else "none")
    if found is None:
        raise Abstention(
            f"what each of {run.num_gpus} GPUs holds under strategy '{run.strategy}' is not known",
            way_out=f"plan it with --strategy {' or '.join(KNOWN)}",
        )
    return found


@cache
def _named(name: str) -> Strategy | None:
    if name == "none":
        return Strategy()
    # a plan for one GPU loads neither
    if name == "ddp":
        from planner.strategies.ddp import DistributedDataParallel

        return DistributedDataParallel()
    if name == "fsdp":
        from planner.strategies.fsdp import FullyShardedDataParallel

        return FullyShardedDataParallel()
    return None

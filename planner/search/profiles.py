"""The profiles of many kinds of runs with few walks through the model.

An optimizer changes constants only, and DDP what is kept beside: a profile of one GPU serves for both. FSDP needs its
own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.architecture.modules import Architecture
from planner.memory.profile import RunProfile, optimizer_bytes, run_profile
from planner.memory.regime import regime_of
from planner.memory.supported import with_supported_attention
from planner.run import TrainingRun
from planner.search.space import Setting, Space, Split
from planner.strategies import strategy_of

ACCUMULATING = 2
"""Stands for every number of micro-batches above one: a step's ledgers are the same for all."""

SEVERAL = 2
"""Stands for every number of GPUs above one."""


class Profiles:
    """Profiles by what they are of; those of one regime are one object."""

    def __init__(self, architecture: Architecture, space: Space) -> None:
        self.architecture = architecture
        self._space = space
        self._runs: dict[tuple[Setting, int, str, bool], TrainingRun] = {}
        self._known: dict[tuple[object, ...], RunProfile] = {}

    def run(
        self, setting: Setting, accumulating: bool = False, num_gpus: int = 1, strategy: str = "none"
    ) -> TrainingRun:
        """A run of that kind; its batch means nothing. Raises `InputError`."""
        key = (setting, num_gpus, strategy, accumulating)
        if key not in self._runs:
            split = Split(1, ACCUMULATING if accumulating else 1)
            run = self._space.run(setting, self._space.optimizers[0], split, num_gpus, strategy)
            self._runs[key] = with_supported_attention(self.architecture, run)
        return self._runs[key]

    def alone(self, setting: Setting, accumulating: bool, batch: int) -> RunProfile:
        """The profile of one GPU by itself. Raises `InputError` and `Abstention` as `run_profile` does."""
        return self._walked(self.run(setting, accumulating), batch)

    def on(self, setting: Setting, accumulating: bool, batch: int, num_gpus: int, strategy: str) -> RunProfile:
        """The profile of one GPU among `num_gpus`. Raises as `alone` does."""
        if num_gpus == 1:
            return self.alone(setting, accumulating, batch)
        run = self.run(setting, accumulating, num_gpus, strategy)
        how = strategy_of(run)
        if how.shards:
            return self._walked(run, batch)
        single = self.alone(setting, accumulating, batch)
        # where every GPU holds everything, it is the same whatever their number
        run = self.run(setting, accumulating, SEVERAL, strategy)
        key = (id(run), id(single))
        if key not in self._known:
            self._known[key] = replace(
                single,
                run=run,
                weights=how.weights(self.architecture, run, single.weights),
                buckets=how.buckets(single.trained),
                pools=how.pools(self.architecture, run, single.trained),
            )
        return self._known[key]

    def _walked(self, run: TrainingRun, batch: int) -> RunProfile:
        regime = regime_of(self.architecture, run, batch, run.sequence_length)
        # runs are kept, so that their ids stay; to hash all their fields takes longer
        key = (id(run), regime)
        if key not in self._known:
            self._known[key] = run_profile(self.architecture, run, batch)
        return self._known[key]


def with_optimizers(profile: RunProfile, names: Sequence[str]) -> list[RunProfile]:
    """The same kind of run under each optimizer. Raises `Abstention` for one that is not known."""
    out: list[RunProfile] = []
    for name in names:
        states, temporaries = optimizer_bytes(name, profile.trained)
        out.append(replace(profile, optimizer=states, optimizer_temporaries=temporaries))
    return out

"""Models that do not fit, measured in slices: two depths at full width, and a line through them for each figure."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import lcm
from typing import NamedTuple

from planner.architecture.config_file import LoadedConfig
from planner.errors import Abstention
from planner.memory.ledger import COMPONENTS, Instant
from planner.run import TrainingRun
from profiler.measure.passes import Passes
from profiler.measure.types import StepSample
from profiler.simulate.build.adapters import wrap
from profiler.simulate.build.model import build_model, layers_of
from profiler.simulate.build.peft_config import peft_config
from profiler.simulate.build.quantize import prepare_kbit, quantize
from profiler.simulate.depth.kinds import kinds_of
from profiler.simulate.ledger import Place

LEAST = 2
"""Layers of the smallest slice: its first and its last one are not the same."""


class Depths(NamedTuple):
    """How many of the first layers the two slices have, and the whole model."""

    small: int
    large: int
    whole: int

    def at_whole(self, small: float, large: float) -> float:
        """The line through a figure of both slices, at the whole depth."""
        return small + (large - small) / (self.large - self.small) * (self.whole - self.small)

    def bytes_at_whole(self, small: int, large: int) -> int:
        """The same of bytes, which are never below 0."""
        return max(round(self.at_whole(small, large)), 0)


def depths_of(run: TrainingRun, loaded: LoadedConfig) -> Depths | None:
    """The slices of a run's model; None where they would not be smaller than the model.

    The whole model has the layers of the small slice and so many more times those that the large one has besides:
    where kinds of layers alternate (sliding windows, experts in every other layer) a slice grows by a whole turn, and
    the small one has one already.
    """
    model = build_model(run, loaded)
    _, layers = layers_of(model)
    quantize(model, run)
    prepare_kbit(model, run)
    kinds = kinds_of(layers, wrap(model, run, peft_config(run)).config)
    depths = depths_of_kinds(kinds, run.checkpoint_every if run.gradient_checkpointing else 1)
    return depths if depths is not None and depths.large < depths.whole else None


def depths_of_kinds(kinds: Sequence[Hashable], every: int = 1) -> Depths | None:
    """The slices of a model whose layers are of these kinds; None for one that never repeats itself.

    every: `checkpoint_every`, which makes layers differ by their position.
    """
    whole = len(kinds)
    best: Depths | None = None
    for turn in range(1, whole):
        repeats = lcm(turn, every)
        begins = max((i + 1 for i in range(whole - turn) if kinds[i] != kinds[i + turn]), default=0)
        small = begins + (whole - begins) % repeats
        while small < max(begins + repeats, LEAST):
            small += repeats
        if small + repeats <= whole and (best is None or small + repeats < best.large):
            best = Depths(small, small + repeats, whole)
    return best


def places_at_whole(depths: Depths, small: Passes, large: Passes) -> dict[Place, Instant]:
    """The ledger of each place that both slices have, component by component.

    The line is through what tensors asked for, which has no noise: how an allocator rounds changes with every layer,
    and is taken as in the large slice. The largest ledger is chosen afterwards: which place of an instant has it can
    change with the depth.
    """
    return {
        place: Instant(ledger.name, _at_whole(depths, small.live[place], large.live[place], ledger))
        for place, ledger in large.places.items()
        if place in small.live and place in large.live
    }


def _at_whole(depths: Depths, small: Instant, large: Instant, counted: Instant) -> dict[str, int]:
    return {
        name: depths.bytes_at_whole(small.components[name], large.components[name])
        + counted.components[name]
        - large.components[name]
        for name in COMPONENTS
    }


def reserved_at_whole(allocated: int, large: Passes) -> int:
    """What the allocator holds of the whole model: live tensors, and as much beside them as in the large slice.

    That is too little where many layers leave holes: by 0.4 to 1.8 % in five simulated runs of 24 and 32 layers, and by
    8 % in a full fine-tuning without checkpointing. A line through both slices' holes was up to 14 % off.
    """
    return allocated + max(large.peak.reserved - large.peak.allocated, 0)


def samples_at_whole(
    depths: Depths, small: Sequence[StepSample], large: Sequence[StepSample]
) -> tuple[StepSample, ...]:
    """Each time term of the whole model, the fastest step of one slice with the fastest of the other, and so on."""
    pairs = zip(sorted(small, key=_seconds), sorted(large, key=_seconds), strict=False)
    return tuple(_sample_at_whole(depths, first, second) for first, second in pairs)


def _sample_at_whole(depths: Depths, small: StepSample, large: StepSample) -> StepSample:
    def at(first: float, second: float) -> float:
        # layers take time; what is shorter with more of them is noise
        return depths.at_whole(first, max(first, second))

    return StepSample(
        at(small.step_s, large.step_s),
        at(small.forward_s, large.forward_s),
        at(small.backward_s, large.backward_s),
        at(small.optimizer_s, large.optimizer_s),
    )


def _seconds(sample: StepSample) -> float:
    return sample.step_s


def no_slices(layers: int) -> Abstention:
    """For a model that has no slices that are smaller than it."""
    return Abstention(
        f"its {layers} layers do not repeat, so that a few of them do not stand for all",
        way_out="measure the whole model, or simulate it",
    )

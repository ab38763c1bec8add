"""The arithmetic of a search: every way to train with its memory, its step and its hours, in arrays."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.catalogue import Gpu
from planner.memory.levels import cublas_workspaces
from planner.search.memory import peaks
from planner.search.points import Array
from planner.search.prepared import NONE, Part, Places, Prepared
from planner.search.seconds import micro_batch_seconds
from planner.search.space import Setting, Split
from planner.strategies.communicators import usable_bytes

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sheet:
    """All ways to train on so many cards under one strategy. Arrays are settings x optimizers x splits x cards."""

    num_gpus: int
    strategy: str
    sequence_length: int
    settings: tuple[Setting, ...]
    optimizers: tuple[str, ...]
    splits: tuple[Split, ...]
    gpus: tuple[Gpu, ...]
    usable: Array
    """Bytes of each card that the allocator can reserve."""
    possible: Bools
    """Settings x splits: false where such a run is not planned, and its other figures mean nothing."""
    allocated: Array
    reserved: Array
    """Bytes that the allocator would hold on a card that is large enough."""
    fits: Bools
    """Whether the high end of the interval of `reserved` is usable."""
    tight: Bools
    """Whether it is not, but the run may do with what the allocator caches given back."""
    step_s: Array
    """Seconds of an optimizer step of full sequences."""
    hours: Array
    """Of the whole job, on an instance that nothing interrupts."""
    disk_bytes: Array
    """Settings x optimizers: the download, one checkpoint and the final file."""
    leaving_bytes: Array
    """Settings: the final file."""

    @property
    def ways(self) -> int:
        """How many there are on each card."""
        return int(self.possible.sum()) * len(self.optimizers)


@dataclass(frozen=True, slots=True)
class _Held:
    """Workspaces x optimizers x places."""

    workspaces: list[int]
    allocated: Array
    least_allocated: Array
    reserved: Array
    highest_reserved: Array


def evaluate(prepared: Prepared) -> tuple[Sheet, ...]:
    """A sheet for each number of cards and strategy."""
    held, spent = _memory(prepared), _seconds(prepared)
    return tuple(_sheet(prepared, part, held, spent) for part in prepared.parts)


def _memory(prepared: Prepared) -> _Held:
    workspaces = sorted({cublas_workspaces(gpu) for gpu in prepared.cards.gpus})
    count = sum(len(places) for _, places in prepared.kept)
    four = np.empty((4, len(workspaces), len(prepared.space.optimizers), count))
    for kept, places in prepared.kept:
        found = peaks(kept)
        for row, size in enumerate(workspaces):
            four[0, row][:, places] = found.allocated(size)
            four[1, row][:, places] = found.least_allocated(size)
            four[2, row][:, places] = found.reserved(size)
            four[3, row][:, places] = found.highest_reserved(size)
    return _Held(workspaces, *four)


def _seconds(prepared: Prepared) -> Array:
    """Of a micro-batch, all of them and the card's own: 2 x places x cards."""
    out = np.empty((2, sum(len(timed.places) for timed in prepared.timed), len(prepared.cards.gpus)))
    for timed in prepared.timed:
        out[0, timed.places], out[1, timed.places] = micro_batch_seconds(timed.works, timed.points, prepared.cards)
    return out


def _sheet(prepared: Prepared, part: Part, held: _Held, spent: Array) -> Sheet:
    cards = prepared.cards
    gpus = tuple(cards.gpus[column] for column in part.columns)
    rows = np.array([held.workspaces.index(cublas_workspaces(gpu)) for gpu in gpus])
    usable = np.array([float(usable_bytes(gpu, part.runs[0])) for gpu in gpus])

    def on_cards(levels: Array) -> Array:
        # workspaces x optimizers x settings x splits, to settings x optimizers x splits x cards
        return levels[:, :, part.memory].transpose(2, 1, 3, 0)[..., rows]

    possible = part.memory != NONE
    known = possible[:, None, :, None]
    fits = (on_cards(held.highest_reserved) <= usable) & known
    tight = (on_cards(held.least_allocated) <= usable) & ~fits & known
    # settings x optimizers x splits x cards: what a step takes once, whatever its length
    once = part.updated[:, :, None, None] / cards.bandwidth[part.columns] + cards.shares.step_ms / 1000
    once = once + (part.offloaded[:, :, None] / cards.pcie[part.columns])[:, None]
    sending = part.sent[:, :, None] / cards.link[part.columns]
    accumulated = part.accumulated[:, None]
    here = spent[..., part.columns]

    def varying(places: Places) -> Array:
        # settings x splits x cards: the micro-batches, and what they do not hide of the exchange
        busy = accumulated * here[1, places]
        return accumulated * here[0, places] + np.maximum(cards.shares.exposed * sending, sending - busy)

    step = varying(part.whole)[:, None] + once
    lengths = range(part.shares.shape[1])
    weighed = np.sum([part.shares[:, each, None] * varying(part.lengths[..., each]) for each in lengths], axis=0)
    training = part.steps[:, None] * (weighed[:, None] + once) * (1 + part.evaluated[:, None, :, None])
    return Sheet(
        num_gpus=part.num_gpus,
        strategy=part.strategy,
        sequence_length=part.runs[0].sequence_length,
        settings=prepared.settings,
        optimizers=prepared.space.optimizers,
        splits=part.splits,
        gpus=gpus,
        usable=usable,
        possible=possible,
        allocated=on_cards(held.allocated),
        reserved=on_cards(held.reserved),
        fits=fits,
        tight=tight,
        step_s=step,
        hours=(training + part.beside[..., None]) / 3600,
        disk_bytes=part.disk,
        leaving_bytes=part.leaving,
    )

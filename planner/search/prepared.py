"""What a search is before its arithmetic: kinds of runs, the micro-batches wanted of them, where their figures go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.run import TrainingRun
from planner.search.ledgers import Kept
from planner.search.points import Array, Points
from planner.search.seconds import Cards, Works
from planner.search.space import Setting, Space, Split

Places = npt.NDArray[np.intp]

NONE = -1
"""The place of a run that is not planned."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A kind of run on one GPU by itself, and the micro-batches and lengths of which the seconds are wanted."""

    works: Works
    points: Points
    places: Places
    """Among the points of all `Timed`."""


@dataclass(frozen=True, slots=True)
class Part:
    """The ways to train on so many cards under one strategy, and where their figures are."""

    num_gpus: int
    strategy: str
    splits: tuple[Split, ...]
    runs: tuple[TrainingRun, ...]
    """A run of each split; its method means nothing."""
    columns: Places
    """Of `Prepared.cards`."""
    memory: Places
    """Settings x splits: places among the points of all `Kept`; `NONE` for a run that is not planned."""
    whole: Places
    """Settings x splits: places among the points of all `Timed`, at the sequence length."""
    lengths: Places
    """Settings x splits x lengths: those of the job. Those that are shorter than the sequence length are taken with the
    work of its regime, which leaves hours within 1e-4 (tests/planner/search/test_search.py); what is shown is planned
    anew."""
    shares: Array
    """Splits x lengths: how many of the micro-batches are so long."""
    accumulated: Array
    """Splits: micro-batches of a step."""
    updated: Array
    """Settings x optimizers: bytes of the update, at the bandwidth that it reaches."""
    sent: Array
    """Settings x splits: bytes that each card sends."""
    offloaded: Array
    """Settings x splits: bytes over PCIe."""
    steps: Array
    """Splits: of the job."""
    evaluated: Array
    """Settings x splits: what evaluations add, as a share of training."""
    beside: Array
    """Settings x optimizers x splits: seconds of the job beside both."""
    disk: Array
    """Settings x optimizers: bytes (`Footprint.disk_bytes`)."""
    leaving: Array
    """Settings: bytes of the trained file (`Footprint.adapter_file_bytes`)."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a search but its arithmetic."""

    space: Space
    settings: tuple[Setting, ...]
    cards: Cards
    kept: tuple[tuple[Kept, Places], ...]
    """Each with the places of its points among all."""
    timed: tuple[Timed, ...]
    parts: tuple[Part, ...]
    left_out: Mapping[str, int]
    """Reason -> ways on one card that are not planned for it."""

"""Coefficients of ledgers as arrays: what the memory of many micro-batches is worked out from."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from planner.memory.ends import HeadProfile
from planner.memory.levels import LASTING
from planner.memory.profile import RunProfile
from planner.memory.reserved import APART, gradient_size, holes_of
from planner.memory.step import Candidate
from planner.memory.sums import LOSS, WEIGHTS
from planner.search.points import Array, Points
from planner.tape import ZERO, Size
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED, TEMPORARY
from planner.units import DTYPE_BYTES

_APART = (LOSS, SAVED, TEMPORARY, GRADIENT, WEIGHTS)
"""Components that the reserved level tells apart, in the order of the columns of `Ledgers.sizes` after the total."""


@dataclass(frozen=True, slots=True)
class Ledgers:
    """Coefficients (as of `Size`, along the last axis) of a step's ledgers."""

    sizes: Array
    """Ledgers x (total, those of `_APART`) x 5."""
    lasting: Array
    """Ledgers x 5: what is counted exactly of each."""
    instants: dict[str, slice]
    """Which ledgers are of which instant."""
    outputs: Array
    casts: Array
    pinned: Array
    saved: Array
    """Pieces of saved activations x 5."""
    counts: Array
    """How many there are of each piece."""


def ledgers_of(profile: RunProfile) -> Ledgers:
    """The coefficients of a profile's step."""
    step = profile.step
    rows: list[Sequence[Size]] = []
    lasting: list[Size] = []
    instants: dict[str, slice] = {}
    for name, candidates in step.instants:
        instants[name] = slice(len(rows), len(rows) + len(candidates))
        for size, ledger in candidates:
            rows.append((size, *(ledger.get(component, ZERO) for component in _APART)))
            lasting.append(_lasting((size, ledger)))
    pieces = [
        (rows_.times(columns * DTYPE_BYTES[dtype]), count)
        for _, count, block in step.blocks
        for _, rows_, columns, dtype in block.saved
    ]
    pinned = total(block.input.times(count) for _, count, block in step.blocks if block.holds_gradient)
    casts = total(size.times(count) for _, count, block in step.blocks for size in block.forward_only.values())
    return Ledgers(
        sizes=np.array(rows, dtype=np.float64),
        lasting=np.array(lasting, dtype=np.float64),
        instants=instants,
        outputs=np.array(total(step.outputs.values())),
        casts=np.array(casts),
        pinned=np.array(pinned.times(APART)),
        saved=np.array([size for size, _ in pieces] or [ZERO], dtype=np.float64),
        counts=np.array([count for _, count in pieces] or [0], dtype=np.float64),
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind of run under several optimizers, and the micro-batches of one regime whose memory is wanted of it."""

    ledgers: Ledgers
    points: Points
    holes: Array
    """Points: what is held between the logits' sizes, as a share of them."""
    gradient: int
    """Bytes of the usual gradient."""
    base: int
    """Weights and adapters."""
    weights: int
    load_temporaries: int
    buckets: int
    pools: int
    gradients: int
    accumulates: bool
    device: Array
    """Optimizers x 1: bytes of their states."""
    temporaries: Array
    """Optimizers x 1: what their step allocates."""
    emptied: bool
    """Whether the loop empties the cache between steps."""
    evaluation: Array
    """Ledgers of an evaluation pass x (total, what is counted exactly) x 5; none where the run has no evaluation."""
    eval_batch_size: int


def kept_of(profiles: Sequence[RunProfile], ledgers: Ledgers, points: Points, holes: Holes) -> Kept:
    """profiles: one an optimizer; they differ in nothing but its bytes. ledgers: of their step."""
    profile = profiles[0]
    run, trained, weights = profile.run, profile.trained, profile.weights
    return Kept(
        ledgers=ledgers,
        points=points,
        holes=holes.at(profile.step.head, points),
        gradient=gradient_size(profile),
        base=weights.bytes + trained.added_bytes,
        weights=weights.bytes,
        load_temporaries=weights.load_temporaries,
        buckets=profile.buckets,
        pools=profile.pools,
        gradients=trained.gradient_bytes,
        accumulates=run.gradient_accumulation_steps > 1,
        device=_column(profile.optimizer.device for profile in profiles),
        temporaries=_column(profile.optimizer_temporaries for profile in profiles),
        emptied=run.empty_cache,
        evaluation=np.array([(found[0], _lasting(found)) for found in profile.evaluation]).reshape(-1, 2, 5),
        eval_batch_size=run.eval_batch_size,
    )


class Holes:
    """Shares of holes between the logits' sizes, each worked out once: many kinds of runs have the same head."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], float] = {}

    def at(self, head: HeadProfile, points: Points) -> Array:
        """One share a point."""
        tape = head.tape
        kind = (tuple(tape.events), tuple(tape.sizes), head.outputs)
        out: list[float] = []
        for batch, sequence in points.pairs():
            key = (kind, batch, sequence)
            if key not in self._known:
                self._known[key] = holes_of(head, batch, sequence)
            out.append(self._known[key])
        return np.array(out)


def _lasting(candidate: Candidate) -> Size:
    return total(size for component, size in candidate[1].items() if component in LASTING)


def _column(values: Iterable[float]) -> Array:
    return np.array(list(values), dtype=np.float64)[:, None]

"""The peaks of many micro-batches at once: `planner.memory.estimate` and `planner.memory.reserved` in numpy.

A run's ledgers are polynomials in the micro-batch and the sequence length (`planner.tape.Size`). Here they are matrices
of coefficients, of which one product with the terms of all micro-batches makes bytes. Optimizers differ in constants.
tests/planner/search/test_search.py holds every figure to the plan's.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# numpy's stubs are written in the syntax of Python 3.12; to 3.10 much of them is unknown

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.memory.levels import interval, widths
from planner.memory.reserved import APART, FRESH, GAPS, LARGER_EVALUATION, UNUSED
from planner.memory.step import END_OF_FORWARD, FIRST_BACKWARD, LAST_BACKWARD, LOSS_INSTANT
from planner.search.ledgers import Kept
from planner.search.points import Array, Points


@dataclass(frozen=True, slots=True)
class Peaks:
    """Bytes, optimizers x points, without cuBLAS's workspaces, which differ from card to card."""

    loading: float
    """Alive while the model is loaded."""
    loading_lasting: float
    """The part of it that is counted exactly."""
    training: Array
    """Alive at the largest of all other instants."""
    training_lasting: Array
    persistent: Array
    """Alive all along: optimizers x 1."""
    beside: Array
    """What the allocator holds beside it at most; with an emptied cache of no account."""
    emptied: bool
    high: float
    """The high end of the reserved peak's interval, as a factor."""

    def allocated(self, workspaces: float) -> Array:
        """The peak of live tensors."""
        return np.maximum(self.loading, self.training + workspaces)

    def reserved(self, workspaces: float) -> Array:
        """What the allocator would hold on a card that is large enough."""
        allocated, always = self.allocated(workspaces), self.persistent + workspaces
        if self.emptied:
            return allocated + FRESH * (allocated - always)
        return np.maximum(allocated, always + self.beside)

    def least_allocated(self, workspaces: float) -> Array:
        """The low end of the interval of the allocated peak."""
        allocated = self.allocated(workspaces)
        loading = self.loading >= self.training + workspaces
        lasting = np.where(loading, self.loading_lasting, self.training_lasting + workspaces)
        return np.rint(allocated - widths()["allocated"] * (allocated - lasting))

    def highest_reserved(self, workspaces: float) -> Array:
        """The high end of the interval of the reserved peak, which has to fit."""
        return np.rint(self.reserved(workspaces) * self.high)


def peaks(kept: Kept) -> Peaks:
    """The peaks of one kind of run under several optimizers."""
    ledgers, terms, device = kept.ledgers, kept.points.terms(), kept.device
    sizes = ledgers.sizes @ terms
    outputs = ledgers.outputs @ terms
    persistent = device + (kept.base + kept.buckets + kept.gradients * kept.accumulates)
    largest, columns = sizes[:, 0].argmax(axis=0), np.arange(len(kept.points.batches))
    # one instant a row: a step's own, the optimizer's, and an evaluation pass
    alive = [
        persistent + sizes[largest, 0, columns],
        device + (kept.base + kept.buckets + kept.gradients) + kept.temporaries + outputs,
    ]
    lasting = (ledgers.lasting @ terms)[largest, columns]
    counted = [device + (kept.base + lasting), device + np.full_like(outputs, kept.base)]
    held_evaluating = np.zeros_like(outputs)
    if len(kept.evaluation):
        passes = Points(np.full_like(outputs, kept.eval_batch_size), kept.points.sequences).terms()
        evaluated = kept.evaluation @ passes
        most = evaluated[:, 0].argmax(axis=0)
        alive.append(device + (kept.base + kept.buckets + evaluated[most, 0, columns]))
        counted.append(device + (kept.base + evaluated[most, 1, columns]))
        larger = kept.points.batches < kept.eval_batch_size
        held_evaluating = np.where(larger, LARGER_EVALUATION * evaluated[most, 0, columns], 0.0)
    stack = np.stack(alive)
    at_peak = stack.argmax(axis=0)[None]
    loading = kept.weights + kept.load_temporaries
    return Peaks(
        loading=max(kept.base, loading),
        loading_lasting=kept.base if kept.base >= loading else kept.weights,
        training=np.take_along_axis(stack, at_peak, axis=0)[0],
        training_lasting=np.take_along_axis(np.stack(counted), at_peak, axis=0)[0],
        persistent=persistent,
        beside=_beside(kept, sizes, outputs, terms) + held_evaluating,
        emptied=kept.emptied,
        high=interval("reserved", 1.0, {}, sharded=kept.pools > 0)[1],
    )


def _beside(kept: Kept, sizes: Array, outputs: Array, terms: Array) -> Array:
    """The largest of `planner.memory.reserved.step_sizes`: optimizers x points."""
    ledgers = kept.ledgers
    loss = ledgers.instants[LOSS_INSTANT]
    whole, _, _, _, gradients, gathered = sizes.transpose(1, 0, 2)
    if not kept.pools:
        stepped = kept.gradients * (not kept.accumulates) + kept.temporaries
        loaded = kept.load_temporaries - kept.device
        return _in_one_pool(kept, sizes, kept.device > 0, stepped + outputs, loaded, terms)
    # gathered parameters and the gradients of blocks are in other streams' pools
    own = sizes.copy()
    own[:, 0] = whole - gathered - gradients
    own[loss, 0] += gradients[loss]
    nothing = np.zeros_like(kept.device)
    held = _in_one_pool(kept, own, nothing > 0, nothing + outputs, nothing, terms)
    last = (own[ledgers.instants[LAST_BACKWARD], 0] + ledgers.pinned @ terms).max(axis=0)
    return np.maximum(held, last) + kept.pools + kept.temporaries


def _in_one_pool(
    kept: Kept, sizes: Array, has_states: npt.NDArray[np.bool_], updated: Array, loaded: Array, terms: Array
) -> Array:
    """sizes: ledgers x components x points. has_states, updated, loaded: whether an optimizer keeps states on the
    device, what its step needs beside them, and what loading needed beyond them; optimizers x points."""
    ledgers = kept.ledgers
    casts = ledgers.casts @ terms
    forward, first = sizes[ledgers.instants[END_OF_FORWARD]], ledgers.instants.get(FIRST_BACKWARD)
    working = (forward[:, 0] - forward[:, 1]).max(axis=0) - casts
    if first is not None:
        working = np.maximum(working, (sizes[first, 0] - sizes[first, 1]).max(axis=0))
    last = sizes[ledgers.instants[LAST_BACKWARD]]
    update = np.maximum(updated, (last[:, 0] - last[:, 2]).max(axis=0))
    # loss instants x points
    loss, logits, saved, temporaries = sizes[ledgers.instants[LOSS_INSTANT], :4].transpose(1, 0, 2)
    beside = saved * GAPS + logits * kept.holes
    apart = (loss + casts - temporaries - saved + working) * APART + beside
    held = np.maximum(loss + beside, np.maximum(loss, working) * (1 - APART) + apart)
    with_holes = logits * (1 + kept.holes)
    unused = (held - with_holes - casts) * _useless(kept, terms)
    # optimizers x loss instants x points
    behind = unused + np.where(has_states[:, :, None], with_holes, 0.0)
    updates = (update[:, None] + behind * UNUSED).max(axis=1)
    most = np.maximum(sizes[:, 0].max(axis=0), held.max(axis=0))
    return np.maximum(np.maximum(updates, updated), np.maximum(loaded, most))


def _useless(kept: Kept, terms: Array) -> Array:
    """`planner.memory.reserved.useless_of` at each point."""
    pieces, counts = kept.ledgers.saved @ terms, kept.ledgers.counts
    whole = counts @ pieces
    filled = counts @ (pieces // kept.gradient) * kept.gradient
    return np.where(whole > 0, 1 - filled / np.maximum(whole, 1.0), 0.0)

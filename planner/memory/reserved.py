"""What the caching allocator holds at most, from the ledgers of a step.

It holds more than is alive at any moment, because what one phase of a step frees does not serve the sizes of the next:

- The logits, their copies and their gradient are the largest buffers of all and come in two sizes, one of which leaves
  holes that no other fills. They are few, and are run through the allocator's own rules (`large_pool`).
- What a block works with is free when the logits come, and too small for them. So are autocast's casts of weights.
- Gradients and the optimizer's temporaries find the activations' memory free, and can use it as far as theirs fit into
  its pieces. The optimizer's states, made in the first step, settle in the gaps of the logits' memory, which later
  steps then need anew.

All of it is sums of the step's own polynomials, so that what comes out can be solved for a batch or a length.

The constants are fitted on 277 runs of 38 models, 0.5B to 70B, drawn as in `profiler.validate.simulated` from another
seed: traced on fake tensors and replayed through all of the allocator.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from planner.memory.large_pool import Held, large_pool
from planner.memory.step import END_OF_FORWARD, FIRST_BACKWARD, LAST_BACKWARD, LOSS_INSTANT, Candidate
from planner.memory.sums import LOSS, WEIGHTS, Ledger
from planner.optimizers import StateBytes
from planner.tape import ZERO, Size
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED, TEMPORARY
from planner.units import DTYPE_BYTES

if TYPE_CHECKING:
    from planner.memory.ends import HeadProfile
    from planner.memory.profile import RunProfile

APART = 0.7
"""Of what a block's working memory, the logits and autocast's casts could share, the part that they do not."""

GAPS = 0.02
"""What is held between saved activations, as a share of them."""

UNUSED = 0.6
"""Of the activations' memory into which no gradient fits, the part that is held beside gradients and temporaries."""

FRESH = 0.05
"""What is held between the buffers of a step whose cache was emptied before it, as a share of what comes and goes:
nothing is left of other sizes. Not fitted to measurements: the median over simulations of 60 runs of one model and
length with 38 PEFT methods (0.02 to 0.10)."""

LARGER_EVALUATION = 0.85
"""Of an evaluation pass with a larger batch than a step's, the part that finds nothing cached to fit into."""


def step_sizes(profile: RunProfile, batch: int, sequence: int) -> tuple[Size, ...]:
    """What the allocator holds beside what is alive all along, once a few steps are through: the largest of these.

    batch, sequence (with virtual tokens): where the shares are taken that no polynomial says, of holes between the
    logits' sizes and of pieces that gradients fit into. They are nearly the same at any other.
    """
    if profile.pools:
        return _in_pools(profile, batch, sequence)
    step = profile.step
    instants = dict(step.instants)
    casts = total(size.times(count) for _, count, block in step.blocks for size in block.forward_only.values())
    # of several micro-batches gradients are alive all along
    gradients = 0 if profile.run.gradient_accumulation_steps > 1 else profile.trained.gradient_bytes
    outputs = total(step.outputs.values())
    updated = Size(constant=gradients + profile.optimizer_temporaries).plus(outputs)
    loaded = Size(constant=profile.weights.load_temporaries - profile.optimizer.device)
    holes, useless = holes_of(step.head, batch, sequence), useless_of(profile, batch, sequence)

    working = _largest(
        [
            *(_without(size, casts, ledger.get(LOSS, ZERO)) for size, ledger in instants[END_OF_FORWARD]),
            *(_without(size, ledger.get(LOSS, ZERO)) for size, ledger in instants.get(FIRST_BACKWARD, ())),
        ]
    )
    out = [updated, loaded, *(size for candidates in instants.values() for size, _ in candidates)]
    for loss, ledger in instants[LOSS_INSTANT]:
        saved, logits = ledger.get(SAVED, ZERO), ledger[LOSS].times(1 + holes)
        beside = saved.times(GAPS).plus(ledger[LOSS].times(holes))
        around = _without(loss.plus(casts), ledger.get(TEMPORARY, ZERO), saved)
        held = [loss.plus(beside)]
        for size in working:
            apart = around.plus(size).times(APART).plus(beside)
            held += [most.times(1 - APART).plus(apart) for most in (loss, size)]
        out += held
        most = max(held, key=lambda size: size.at(batch, sequence))
        unused = _without(most, logits, casts).times(useless).plus(logits if profile.optimizer.device else ZERO)
        # what is left of saved activations then is among those that are unused
        updates = [updated, *(_without(size, ledger.get(SAVED, ZERO)) for size, ledger in instants[LAST_BACKWARD])]
        out += [update.plus(unused.times(UNUSED)) for update in updates]
    return tuple(out)


def _in_pools(profile: RunProfile, batch: int, sequence: int) -> tuple[Size, ...]:
    """The same where a strategy works in streams of its own, whose pools share nothing with that of the computation.

    In the pools of other streams are gathered parameters and the shares of gradients. What the optimizer's step makes
    then finds little of its size in the computation's pool, which neither gradients nor gathered parameters have
    widened; and what is held of each block's backward pass to the end (`holds_gradient`) lies in pieces of its working
    memory, which the next block then needs anew.
    """
    step = profile.step
    own = tuple((name, tuple(in_own_pool(name, *candidate) for candidate in found)) for name, found in step.instants)
    alone = replace(
        profile,
        step=replace(step, instants=own),
        trained=replace(profile.trained, gradient_bytes=0),
        weights=replace(profile.weights, load_temporaries=0),
        optimizer=StateBytes(0, 0),
        optimizer_temporaries=0,
        pools=0,
    )
    pinned = total(block.input.times(count) for _, count, block in step.blocks if block.holds_gradient).times(APART)
    sizes = (*step_sizes(alone, batch, sequence), *(size.plus(pinned) for size, _ in dict(own)[LAST_BACKWARD]))
    beside = Size(constant=profile.pools + profile.optimizer_temporaries)
    return tuple(size.plus(beside) for size in sizes)


def in_own_pool(name: str, size: Size, ledger: Ledger) -> Candidate:
    """A ledger of the computation's pool alone: without gathered parameters, and without the gradients of blocks."""
    others = (WEIGHTS,) if name == LOSS_INSTANT else (WEIGHTS, GRADIENT)
    parts = [ledger.get(component, ZERO) for component in others]
    return _without(size, *parts), {key: part for key, part in ledger.items() if key not in others}


def _without(size: Size, *parts: Size) -> Size:
    return size.plus(total(parts).times(-1))


def _largest(sizes: Iterable[Size]) -> list[Size]:
    """Those of which none is smaller than another for every batch and sequence length."""
    best: list[Size] = []
    for size in sizes:
        if not any(other.dominates(size) for other in best):
            best = [other for other in best if not size.dominates(other)]
            best.append(size)
    return best


def holes_of(head: HeadProfile, batch: int, sequence: int) -> float:
    """What is held between the logits' sizes, as a share of them."""
    alone = _head(head, batch, sequence)
    return (alone.reserved - alone.allocated) / alone.allocated if alone.allocated else 0.0


def _head(head: HeadProfile, batch: int, sequence: int) -> Held:
    """What the pool comes to if it has nothing but the head, the loss and their backward pass."""
    tape = head.tape
    sizes = [size.at(batch, sequence) for size in tape.sizes]
    if not any(head.outputs):
        return large_pool(tape.events, sizes)
    # the logits of one step stay until the backward pass of the next begins
    kept = tape.sizes.index(head.outputs) + 1
    seed = next(index for index, label in enumerate(tape.labels) if label.endswith("gradient of the loss")) + 1
    begin = tape.events.index(seed)
    first = [event for event in tape.events if event != -kept]
    freed = {-event for event in first if event < 0}
    left = [-event for event in first if event > 0 and event != kept and event not in freed]
    later = [event + len(sizes) if event > 0 else event - len(sizes) for event in tape.events]
    return large_pool([*first, *left, *later[:begin], -kept, *later[begin:]], sizes * 2)


def useless_of(profile: RunProfile, batch: int, sequence: int) -> float:
    """The share of the saved activations' memory that gradients cannot fill: as many go in as fit into each piece."""
    gradient = gradient_size(profile)
    whole = filled = 0.0
    for _, count, block in profile.step.blocks:
        for _, rows, columns, dtype in block.saved:
            piece = rows.at(batch, sequence) * columns * DTYPE_BYTES[dtype]
            whole += count * piece
            filled += count * (piece // gradient) * gradient
    return 1 - filled / whole if whole else 0.0


def gradient_size(profile: RunProfile) -> int:
    """Bytes of the gradients that are most of all gradients' memory."""
    by_size: Counter[int] = Counter()
    for tensor in profile.trained.tensors:
        by_size[tensor.elements * DTYPE_BYTES[tensor.dtype]] += tensor.count
    return max(by_size, key=lambda size: size * by_size[size])

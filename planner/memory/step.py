"""One training step: the ledgers at its instants, as polynomials in batch and sequence length.

The walk through the model is made once per kind of block; the ledgers of a full-depth step are sums of
what the blocks before have kept and of the largest ledgers within the block at hand. The largest is
taken last, because the block that wins changes with depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.errors import Abstention
from planner.memory.blocks import BlockProfile, Ledger, plus, profile_block, profile_head, profile_start
from planner.memory.wiring import wire_blocks, wire_outer
from planner.methods import method_of
from planner.run import TrainingRun
from planner.tape import Size
from planner.tape.size import total
from planner.tape.tape import GRADIENT, TEMPORARY

END_OF_FORWARD = "end_of_forward"
LOSS_INSTANT = "loss"
FIRST_BACKWARD = "first_backward_block"
MIDDLE_BACKWARD = "middle_backward_block"
LAST_BACKWARD = "last_backward_block"


@dataclass(frozen=True, slots=True)
class StepProfile:
    """What a step allocates beside weights and optimizer states."""

    instants: tuple[tuple[str, tuple[tuple[Size, Ledger], ...]], ...]
    """For each instant, the ledgers that can be its largest, with their totals."""
    blocks: tuple[tuple[str, int, BlockProfile], ...]
    """Kind of block, how many there are of it, and its profile."""


def profile_step(architecture: Architecture, run: TrainingRun) -> StepProfile:
    """Walk through the model once per kind of block and put the instants of a step together.

    Raises `Abstention` where no activation table covers the family or the run.
    """
    program = architecture.program
    if program is None:
        raise Abstention(
            f"no activation table covers '{architecture.model_type}' ({architecture.no_program_reason})",
            way_out="its parameters and weights are counted",
        )
    method = method_of(run)
    targets = method.targets(architecture, run)
    outer = wire_outer(architecture, run, targets)
    start = profile_start(architecture, program, run, outer)
    dtype, first_needs = start.dtype, start.requires_grad

    by_layer: dict[int, BlockProfile] = {}
    kinds: list[tuple[str, int, BlockProfile]] = []
    for variant in wire_blocks(architecture, run, targets):
        profiles: dict[tuple[bool, bool], BlockProfile] = {}
        for layer in variant.layers:
            needs = layer > 0 or first_needs
            checkpointed = run.gradient_checkpointing and layer % run.checkpoint_every == 0
            key = (needs, checkpointed)
            if key not in profiles:
                profiles[key] = profile_block(
                    architecture,
                    program,
                    run,
                    variant.block,
                    variant.wiring,
                    dtype=dtype,
                    needs_gradient=needs,
                    checkpointed=checkpointed,
                )
            by_layer[layer] = profiles[key]
        for profile in profiles.values():
            count = sum(by_layer[layer] is profile for layer in variant.layers)
            kinds.append((variant.block.kind, count, profile))
    order = [by_layer[layer] for layer in sorted(by_layer)]
    head = profile_head(architecture, program, run, outer, dtype=dtype)
    instants: dict[str, list[Ledger]] = {}
    _forward(instants, order, plus(start.shared, start.mask))
    everything = _sum(profile.kept for profile in order)
    casts = _sum(profile.forward_only for profile in order)
    before = plus(everything, start.shared)
    # autocast ends, and with it its cache of casts, between the loss and its backward pass
    instants[LOSS_INSTANT] = [
        *(plus(plus(before, casts), ledger) for ledger in head.forward),
        *(plus(before, ledger) for ledger in head.backward),
    ]
    _backward(instants, order, start.shared, head.gradients)
    return StepProfile(
        tuple((name, _largest(ledgers)) for name, ledgers in instants.items()),
        tuple(kinds),
    )


def _forward(instants: dict[str, list[Ledger]], order: list[BlockProfile], shared: Ledger) -> None:
    last = {id(profile): position for position, profile in enumerate(order)}
    before: Ledger = shared
    ledgers = instants.setdefault(END_OF_FORWARD, [])
    for position, profile in enumerate(order):
        if last[id(profile)] == position:
            stream = plus(before, {TEMPORARY: profile.input})
            ledgers.extend(plus(stream, ledger) for ledger in profile.forward)
        before = plus(plus(before, profile.kept), profile.forward_only)


def _backward(
    instants: dict[str, list[Ledger]], order: list[BlockProfile], shared: Ledger, head_gradients: Size
) -> None:
    first = {id(profile): position for position, profile in reversed(list(enumerate(order)))}
    last = {id(profile): position for position, profile in enumerate(order)}
    prefix: list[Ledger] = [shared]
    for profile in order[:-1]:
        prefix.append(plus(prefix[-1], profile.kept))
    gradients = head_gradients
    for position in range(len(order) - 1, -1, -1):
        profile = order[position]
        if position in (first[id(profile)], last[id(profile)]):
            before = plus(prefix[position], {GRADIENT: gradients})
            name = _instant_of(position, len(order))
            instants.setdefault(name, []).extend(plus(before, ledger) for ledger in profile.backward)
        gradients = gradients.plus(profile.gradients)


def _instant_of(position: int, blocks: int) -> str:
    if position == blocks - 1:
        return FIRST_BACKWARD
    return LAST_BACKWARD if position == 0 else MIDDLE_BACKWARD


def _sum(ledgers: Iterator[Ledger]) -> Ledger:
    out: Ledger = {}
    for ledger in ledgers:
        out = plus(out, ledger)
    return out


def _largest(ledgers: list[Ledger]) -> tuple[tuple[Size, Ledger], ...]:
    sized = [(total(ledger.values()), ledger) for ledger in ledgers]
    return tuple(
        (size, ledger)
        for position, (size, ledger) in enumerate(sized)
        if not any(
            other.dominates(size) and (other != size or earlier < position)
            for earlier, (other, _) in enumerate(sized)
            if earlier != position
        )
    )

"""One training step: the ledgers at its instants, as polynomials in batch and sequence length.

The walk through the model is made once per kind of block; the ledgers of a full-depth step are sums of
what the blocks before have kept and of the largest ledgers within the block at hand. The largest is
taken last, because the block that wins changes with depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from operator import attrgetter

from planner.architecture.modules import Architecture
from planner.architecture.program import Program
from planner.errors import Abstention
from planner.memory.blocks import BlockProfile, profile_block
from planner.memory.ends import HeadProfile, StartProfile, profile_head, profile_start
from planner.memory.regime import regime_of
from planner.memory.sums import LOSS, Ledger, minus, plus
from planner.memory.wiring import Variant, wire_blocks, wire_outer
from planner.methods.counting import wrapped
from planner.run import TrainingRun
from planner.strategies import strategy_of
from planner.tape import ZERO, Size
from planner.tape.size import total
from planner.tape.tape import GRADIENT, SAVED, TEMPORARY
from planner.tape.work import StepWork
from planner.trainers import has_kv_cache
from planner.versions import behaviours, refusal

END_OF_FORWARD = "end_of_forward"
LOSS_INSTANT = "loss"
FIRST_BACKWARD = "first_backward_block"
MIDDLE_BACKWARD = "middle_backward_block"
LAST_BACKWARD = "last_backward_block"


Candidate = tuple[Size, Ledger]
"""A ledger that can be the largest of its instant, for some batch and sequence length, with its total."""


@dataclass(frozen=True, slots=True)
class StepProfile:
    """What a step allocates beside weights and optimizer states."""

    instants: tuple[tuple[str, tuple[Candidate, ...]], ...]
    """For each instant, the ledgers that can be its largest, with their totals."""
    blocks: tuple[tuple[str, int, BlockProfile], ...]
    """Kind of block, how many there are of it, and its profile."""
    head: HeadProfile
    shared: Ledger
    """Rotary tables (and, with checkpointing, the attention mask)."""
    outputs: Ledger
    """What the loop keeps of a step's outputs until the next one has its own."""
    embedding_work: StepWork
    """What the part before the first block computes; blocks and head have their own."""


_Key = tuple[int, bool, bool, str]
"""Variant of a block, whether its input needs a gradient, whether it is checkpointed, and the dtype of its input."""

_UNSEEN = {"model", "alpha", "num_gpus", "strategy", "optimizer", "eval_batch_size", "max_grad_norm"}
_BY_BEHAVIOUR = {"transformers_version", "peft_version"}
_IN_REGIME = {"micro_batch_size", "sequence_length", "gradient_accumulation_steps"}
_seen = attrgetter(
    *(
        field.name
        for field in fields(TrainingRun)
        if field.name not in _UNSEEN | _BY_BEHAVIOUR | _IN_REGIME and field.compare
    )
)
"""What a walk depends on of a run, beside its regime, whether gradients are accumulated, and what its release of
transformers does otherwise."""

_MOST_WALKS = 1024


@dataclass(frozen=True, slots=True)
class _Walk:
    """What the model's parts come to one by one, before a strategy adds to them."""

    variants: tuple[Variant, ...]
    profiles: dict[_Key, BlockProfile]
    layers: dict[int, _Key]
    start: StartProfile
    head: HeadProfile


_walks: dict[tuple[object, ...], _Walk] = {}


def profile_step(architecture: Architecture, run: TrainingRun) -> StepProfile:
    """Walk through the model once per kind of block and put the instants of a step together.

    Raises `Abstention` where no activation table covers the family or the run.
    """
    strategy = strategy_of(run)
    walk = _walked(architecture, strategy.computed(run))
    variants = walk.variants
    profiles = {
        key: strategy.block(architecture, run, variants[key[0]].block, profile)
        for key, profile in walk.profiles.items()
    }
    by_layer = {layer: profiles[key] for layer, key in walk.layers.items()}
    kinds = [
        (variants[key[0]].block.kind, sum(own is profile for own in by_layer.values()), profile)
        for key, profile in sorted(profiles.items(), key=lambda item: item[0][0])
    ]
    # a block that runs nothing (cross-attention without an image) is not even checkpointed
    order = [profile for profile in by_layer.values() if profile.backward]
    start, head = strategy.ends(architecture, run, walk.start, walk.head)
    outputs: Ledger = {SAVED: total(profile.outputs for profile in order), LOSS: head.outputs}
    instants: dict[str, list[Ledger]] = {}
    # those of the step before are there until the forward pass has made its own
    instants[END_OF_FORWARD] = [plus(outputs, ledger) for ledger in start.forward]
    after_blocks = _forward(instants, order, start, outputs)
    everything = _sum(profile.kept for profile in order)
    casts = _sum(profile.forward_only for profile in order)
    casts = plus(casts, minus(start.forward_only, start.in_frame))
    before = plus(everything, start.shared)
    # autocast ends, and with it its cache of casts, between the loss and its backward pass
    instants[LOSS_INSTANT] = [
        *(plus(after_blocks, ledger) for ledger in head.norm),
        *(plus(plus(plus(before, outputs), casts), ledger) for ledger in head.forward),
        *(plus(before, ledger) for ledger in head.backward),
    ]
    gradients = _backward(instants, order, start, head)
    last = plus(plus(start.shared, {GRADIENT: gradients}), outputs)
    instants[LAST_BACKWARD].extend(plus(last, ledger) for ledger in start.backward)
    return StepProfile(
        tuple((name, largest(ledgers)) for name, ledgers in instants.items()),
        tuple(kinds),
        head,
        start.shared,
        outputs,
        start.work,
    )


def _walked(architecture: Architecture, run: TrainingRun) -> _Walk:
    regime = regime_of(architecture, run, run.micro_batch_size, run.sequence_length)
    model_type = architecture.model_type
    done = behaviours(run.transformers_version, model_type), has_kv_cache(run, model_type)
    upcast = run.prepare_kbit and run.strategy  # of FSDP's units none is cast (`kept_dtype`)
    key = (architecture, _seen(run), regime, run.gradient_accumulation_steps > 1, done, upcast)
    found = _walks.get(key)
    if found is None:
        found = _walk(architecture, run)
        if len(_walks) >= _MOST_WALKS:
            _walks.clear()
        _walks[key] = found
    return found


def _walk(architecture: Architecture, run: TrainingRun) -> _Walk:
    """run: as its forward pass meets its parameters."""
    program = program_of(architecture)
    older = behaviours(run.transformers_version, architecture.model_type) - architecture.follows
    refused = refusal(older, run.attention)
    if refused:
        raise Abstention(
            f"transformers {run.transformers_version} {refused} ('{architecture.model_type}')",
            way_out="plan it for a newer release with --transformers-version",
        )
    found = wrapped(architecture, run)
    outer = wire_outer(architecture, run, found)
    start = profile_start(architecture, program, run, outer)
    dtype, needs = start.dtype, start.requires_grad
    profiles: dict[_Key, BlockProfile] = {}
    layers: dict[int, _Key] = {}
    variants = wire_blocks(architecture, run, found)
    variant_of = {layer: number for number, variant in enumerate(variants) for layer in variant.layers}
    for layer in sorted(variant_of):
        checkpointed = run.gradient_checkpointing and layer % run.checkpoint_every == 0
        key = (variant_of[layer], needs, checkpointed, dtype)
        variant = variants[key[0]]
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
        layers[layer] = key
        needs, dtype = True, profiles[key].output_dtype
    head = profile_head(architecture, program, run, outer, dtype=dtype)
    return _Walk(tuple(variants), profiles, layers, start, head)


def program_of(architecture: Architecture) -> Program:
    """The forward program of a model. Raises `Abstention` where no activation table covers its family."""
    if architecture.program is None:
        raise Abstention(
            f"no activation table covers the architecture '{architecture.model_type}' "
            f"({architecture.no_program_reason})",
            way_out="choose a model of a covered family (`lora-plan models` says which)",
        )
    return architecture.program


def _forward(
    instants: dict[str, list[Ledger]], order: list[BlockProfile], start: StartProfile, outputs: Ledger
) -> Ledger:
    """The end of the forward pass; what is alive after the last block."""
    last = {id(profile): position for position, profile in enumerate(order)}
    before: Ledger = plus(plus(plus(start.shared, start.mask), start.forward_only), outputs)
    ledgers = instants.setdefault(END_OF_FORWARD, [])
    for position, profile in enumerate(order):
        if position == 1 and start.holds_first_input and not order[0].keeps_input:
            # the model's frame holds it to the end (`inputs_embeds`)
            before = plus(before, {TEMPORARY: order[0].input})
        if last[id(profile)] == position:
            stream = plus(before, {TEMPORARY: profile.input})
            if position:
                stream = plus(stream, order[position - 1].returned)
            ledgers.extend(plus(stream, ledger) for ledger in profile.forward)
        before = plus(plus(before, profile.kept), profile.forward_only)
    return before


def _backward(
    instants: dict[str, list[Ledger]], order: list[BlockProfile], start: StartProfile, head: HeadProfile
) -> Size:
    """The instants of the backward pass; the gradients of parameters after it."""
    # masks and tables of one kind of attention are free before the lowest block of that kind
    freed_before = [(_lowest(order, window), size) for window, size in start.by_window]
    turns = _turns(order, {lowest for lowest, _ in freed_before})
    prefix: list[Ledger] = [start.shared]
    for profile in order[:-1]:
        prefix.append(plus(prefix[-1], profile.kept))
    gradients = head.gradients
    on_context = arrived = ZERO
    for position in range(len(order) - 1, -1, -1):
        profile = order[position]
        if position in turns:
            freed = total(size for lowest, size in freed_before if position < lowest)
            saved = on_context.plus(freed.times(-1))
            before = plus(prefix[position], {GRADIENT: gradients, SAVED: saved, LOSS: head.outputs})
            name = _instant_of(position, len(order))
            ledgers = (*profile.backward, *profile.prefetching) if position else profile.backward
            instants.setdefault(name, []).extend(plus(before, ledger) for ledger in ledgers)
        gradients = gradients.plus(profile.gradients)
        # what a block is given counts with it
        on_context = on_context.plus(profile.on_context).plus(arrived)
        arrived = profile.input if profile.holds_gradient else ZERO
    return gradients


def _lowest(order: list[BlockProfile], window: int | None) -> int:
    users = (position for position, profile in enumerate(order) if window in profile.windows)
    return next(users, len(order))


def _turns(order: list[BlockProfile], boundaries: set[int]) -> set[int]:
    """Positions at which a block's ledger can be the largest of its instant.

    The last one of each kind, the last one below the top, and the first one from each boundary on: in between it
    is linear in the position.
    """
    top = len(order) - 1
    turns = set({id(profile): position for position, profile in enumerate(order)}.values())
    turns |= set({id(profile): position for position, profile in enumerate(order[:top])}.values())
    for boundary in boundaries | {0, 1}:
        seen: set[int] = set()
        for position in range(boundary, len(order)):
            if id(order[position]) not in seen:
                seen.add(id(order[position]))
                turns.add(position)
    return turns


def _instant_of(position: int, blocks: int) -> str:
    if position == 0:
        return LAST_BACKWARD
    return FIRST_BACKWARD if position == blocks - 1 else MIDDLE_BACKWARD


def _sum(ledgers: Iterator[Ledger]) -> Ledger:
    out: Ledger = {}
    for ledger in ledgers:
        out = plus(out, ledger)
    return out


def largest(ledgers: list[Ledger]) -> tuple[Candidate, ...]:
    """The ledgers of which none is smaller than another for every batch and sequence length."""
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

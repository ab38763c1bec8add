"""The memory of a run on a card: its profile at one batch and sequence length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu
from planner.memory.ledger import COMPONENTS, Instant, Interval, Levels, Memory
from planner.memory.levels import COVERAGE, cublas_workspaces, held_on_card, interval, room
from planner.memory.limits import largest_batch, longest_sequence
from planner.memory.profile import RunProfile, run_profile
from planner.memory.reserved import FRESH, LARGER_EVALUATION, step_sizes
from planner.memory.step import FIRST_BACKWARD, LAST_BACKWARD, MIDDLE_BACKWARD, Candidate
from planner.run import TrainingRun
from planner.strategies.communicators import outside_allocator, usable_bytes

LOAD = "load"
OPTIMIZER_STEP = "optimizer_step"
EVALUATION = "evaluation"

MOST_SEQUENCES = 2**20
MOST_TOKENS = 2**24
"""The bounds of `TrainingRun.micro_batch_size` and `sequence_length`."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run's memory with what it was worked out from."""

    memory: Memory
    profile: RunProfile
    persistent: int
    """Bytes alive all along: weights, adapters, optimizer states, workspaces."""


def estimate(architecture: Architecture, run: TrainingRun, gpu: Gpu | None) -> Estimate:
    """The memory of a run, on `gpu` or on a card yet unknown."""
    profile = run_profile(architecture, run)
    always = _always(profile, run, gpu)
    persistent = sum(always.values())
    sequence = run.sequence_length + profile.virtual_tokens
    instants = [_load(profile, always)]
    for name, candidates in profile.step.instants:
        instants.append(_instant(name, always, candidates, run.micro_batch_size, sequence))
    instants = without_lesser_middle(instants)
    instants.append(_optimizer_step(profile, always, run.micro_batch_size, sequence))
    if profile.evaluation:
        without = always | {"gradients": profile.buckets}
        instants.append(_instant(EVALUATION, without, profile.evaluation, run.eval_batch_size, sequence))
    allocated, peak = max((instant.allocated_bytes, -position) for position, instant in enumerate(instants))
    largest = instants[-peak]
    wanted = max(_reserved(profile, run, persistent, allocated), allocated)
    low, high = interval("reserved", wanted, largest.components, sharded=profile.pools > 0)
    least, most = interval("allocated", allocated, largest.components)
    held = round(held_on_card(wanted, allocated, usable_bytes(gpu, run)) if gpu is not None else wanted)
    memory = Memory(
        peak_bytes=Levels(allocated, held, held + outside_allocator(gpu, run) if gpu is not None else None),
        # what is alive is held
        interval_bytes=Interval("reserved", round(max(low, least)), round(high), COVERAGE),
        allocated_interval_bytes=Interval("allocated", round(least), round(most), COVERAGE),
        instant=largest.name,
        basis="formula",
        instants=tuple(instants),
    )
    return Estimate(memory, profile, persistent)


def without_lesser_middle(instants: Sequence[Instant]) -> list[Instant]:
    """The instants, the middle of the backward pass left out unless it is larger than both its ends."""
    sizes = {instant.name: instant.allocated_bytes for instant in instants}
    ends = max(sizes.get(FIRST_BACKWARD, 0), sizes.get(LAST_BACKWARD, 0))
    return [instant for instant in instants if instant.name != MIDDLE_BACKWARD or instant.allocated_bytes > ends]


def _reserved(profile: RunProfile, run: TrainingRun, persistent: int, allocated: int) -> float:
    """What the allocator holds after a few steps, on a card that is large enough."""
    if run.empty_cache:
        return allocated + FRESH * (allocated - persistent)
    sequence = run.sequence_length + profile.virtual_tokens
    sizes = step_sizes(profile, run.micro_batch_size, sequence)
    held = persistent + max(size.at(run.micro_batch_size, sequence) for size in sizes)
    if run.eval_batch_size > run.micro_batch_size:
        evaluated = max(size.at(run.eval_batch_size, sequence) for size, _ in profile.evaluation)
        held += LARGER_EVALUATION * evaluated
    return held


def _always(profile: RunProfile, run: TrainingRun, gpu: Gpu | None) -> dict[str, int]:
    always = dict.fromkeys(COMPONENTS, 0)
    always["base_weights"] = profile.weights.bytes
    always["adapters"] = profile.trained.added_bytes
    always["optimizer_states"] = profile.optimizer.device
    always["runtime"] = cublas_workspaces(gpu)
    always["gradients"] = profile.buckets
    if run.gradient_accumulation_steps > 1:
        always["gradients"] += profile.trained.gradient_bytes
    return always


def _load(profile: RunProfile, always: dict[str, int]) -> Instant:
    absent = {"optimizer_states": 0, "gradients": 0, "runtime": 0}
    loaded = Instant(LOAD, always | absent)
    # the adapter is placed once the base is ready
    loading = Instant(LOAD, always | absent | {"adapters": 0, "temporaries": profile.weights.load_temporaries})
    return max(loaded, loading, key=lambda instant: instant.allocated_bytes)


def _optimizer_step(profile: RunProfile, always: dict[str, int], batch: int, sequence: int) -> Instant:
    gradients = profile.trained.gradient_bytes + profile.buckets
    now = {"gradients": gradients, "temporaries": profile.optimizer_temporaries}
    outputs = {name: round(size.at(batch, sequence)) for name, size in profile.step.outputs.items()}
    return Instant(OPTIMIZER_STEP, always | now | outputs)


def _instant(
    name: str, always: dict[str, int], candidates: tuple[Candidate, ...], batch: int, sequence: int
) -> Instant:
    most, largest = -1.0, candidates[0][1]
    for size, ledger in candidates:
        now = size.at(batch, sequence)
        if now > most:
            most, largest = now, ledger
    components = dict(always)
    for component, size in largest.items():
        components[component] += round(size.at(batch, sequence))
    return Instant(name, components)


def limits(architecture: Architecture, run: TrainingRun, gpu: Gpu, known: Estimate) -> tuple[int | None, int | None]:
    """The largest micro-batch and the longest sequence with which the run still fits on `gpu`.

    known: the run's own estimate. It fits when the high end of its interval is within the usable memory, as for
    the verdict; only the step counts, not loading or evaluation.
    """
    left = room(known.persistent, usable_bytes(gpu, run), sharded=known.profile.pools > 0)
    batch, sequence, extra = run.micro_batch_size, run.sequence_length, known.profile.virtual_tokens

    def most_sequences(at: int) -> int | None:
        at = min(at, MOST_SEQUENCES)
        profile = run_profile(architecture, run, at, sequence)
        return largest_batch(step_sizes(profile, at, sequence + extra), left, sequence + extra)

    def most_tokens(at: int) -> int | None:
        at = min(at, MOST_TOKENS)
        profile = run_profile(architecture, run, batch, at)
        length = longest_sequence(step_sizes(profile, batch, at + extra), left, batch)
        return length - extra if length is not None and length > extra else None

    edges = [window - 1 for window in architecture.attention_windows if window is not None and window > 1]
    return _settled(most_sequences, batch, [1], MOST_SEQUENCES), _settled(most_tokens, sequence, edges, MOST_TOKENS)


def _settled(solve: Callable[[int], int | None], start: int, edges: list[int], most: int) -> int | None:
    """The largest value that fits in its own regime.

    solve: the largest value that would fit if the regime of its argument held everywhere. A solution outside the
    regime it was solved in is solved again in its own; the ends of regimes (`edges`) are tried too.
    """
    value = solve(start)
    while value is not None:
        value = min(value, most)
        again = solve(value)
        if again is not None and again >= value:
            break
        value = again
    for edge in edges:
        if value is None or value < edge:
            fits = solve(edge)
            if fits is not None and fits >= edge:
                value = edge
    return value

"""One model on one device: what is counted, what is followed, and memory that runs out.

The device is the CPU; or the same tensors on a card that is not there, under the project's own caching allocator
(`counted`), so that what only a card takes is run here too.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from planner.memory.ledger import COMPONENTS, Instant, Levels
from planner.run import TrainingRun
from planner.units import GIB, MIB
from profiler.measure import passes as module
from profiler.measure.bounds import WARM_UP
from profiler.measure.device.cpu import Cpu
from profiler.measure.device.sampler import Reading, Sampler
from profiler.measure.out_of_memory import RanOutOfMemory, requested_bytes
from profiler.measure.passes import Asked, Passes, run_passes, with_unseen
from profiler.measure.types import MeasuredLevels, MeasuredOutOfMemory
from profiler.simulate import stack
from profiler.simulate.ledger import ORDER, Place, largest_of_instants
from profiler.simulate.progress import silent
from profiler.simulate.trace.trace import BASE_WEIGHTS, LOSS, OPTIMIZER, OPTIMIZER_STATES, RUNTIME, SAVED, TEMPORARY
from tests.profiler.measure.counted import Card
from tests.profiler.measure.small import LAYERS, LLAMA, of_config, quiet, run_of

FULL = {"method": "full", "base_dtype": "float32", "gradient_checkpointing": False}
LORA = {"rank": 4, "dropout": 0.1, "eval_batch_size": 1}


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def asked_of(run: TrainingRun, steps: int = 2, **fields: Any) -> Asked:
    given: dict[str, Any] = {"seconds_left": lambda: 1e9} | fields
    return Asked(run, of_config(LLAMA), steps, **given)


@contextlib.contextmanager
def sampling() -> Generator[Sampler]:
    with Sampler(Reading, 60.0) as sampler:
        yield sampler


def on_cpu(asked: Asked, **given: Any) -> Passes:
    torch.manual_seed(0)
    with quiet(), stack.quiet(), sampling() as sampler:
        return run_passes(asked, Cpu(), sampler, lambda: Reading(123), silent, **given)


def on_card(card: Card, asked: Asked, tell: Callable[[str, float], None] = silent) -> Passes:
    torch.manual_seed(0)
    with quiet(), stack.quiet(), sampling() as sampler, card.on():
        return run_passes(asked, card, sampler, lambda: Reading(123, 4 * GIB), tell)


@cache
def lora_on_cpu() -> Passes:
    return on_cpu(asked_of(run_of(**LORA)))


@cache
def lora_on_card() -> Passes:
    return on_card(Card(), asked_of(run_of(**LORA)))


@cache
def full_on_card() -> Passes:
    return on_card(Card(), asked_of(run_of(**FULL)))


# on the CPU


def test_on_a_cpu_the_bytes_are_those_of_followed_tensors() -> None:
    found = lora_on_cpu()
    assert found.places is found.live
    instants = largest_of_instants(found.places)
    assert {levels.name: levels.allocated for levels in found.levels}.items() >= {
        (instant.name, instant.allocated_bytes) for instant in instants
    }
    assert [levels.name for levels in found.levels] == [name for name in ORDER if name in {x.name for x in instants}]
    assert all(levels.host == 123 and levels.process is None for levels in found.levels)
    assert found.peak.allocated == max(instant.allocated_bytes for instant in instants)
    assert found.peak.reserved % (2 * MIB) == 0 and found.peak.reserved > found.peak.allocated
    assert found.peak.process is None


def test_what_one_model_took() -> None:
    found = lora_on_cpu()
    assert len(found.samples) == 2
    assert all(sample.step_s > 0 for sample in found.samples)
    assert (found.retries, found.finite) == (0, True)
    assert found.loss == pytest.approx(4.56, abs=0.3)  # log 96
    base = 2 * 96 * 32 + LAYERS * (32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 80 + 2 * 32) + 32
    adapters = LAYERS * 4 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 80))
    assert (found.total, found.trainable) == (base + adapters, adapters)


def test_a_part_of_the_layers_takes_less() -> None:
    part, whole = on_cpu(asked_of(run_of(**LORA), steps=0), kept=(0, 1)), lora_on_cpu()
    assert part.total < whole.total
    assert part.peak.allocated < whole.peak.allocated
    assert part.samples == ()


# on a card


@pytest.mark.parametrize("passes", [lora_on_card, full_on_card])
def test_what_is_counted_and_what_is_followed_agree(passes: Callable[[], Passes]) -> None:
    """The tensors of the last step, which is followed, take what the allocator counted in one that was not: each is
    at most 511 bytes larger in its block of 512."""
    found = passes()
    assert found.places.keys() == found.live.keys()
    for place, ledger in found.places.items():
        unseen = ledger.allocated_bytes - found.live[place].allocated_bytes
        assert 0 <= unseen < 512 * 500
        assert ledger.components[RUNTIME] == 0
        others = {name: size for name, size in ledger.components.items() if name != TEMPORARY}
        assert others == {name: size for name, size in found.live[place].components.items() if name != TEMPORARY}
    counted = {levels.name: levels.allocated for levels in found.levels}
    for instant in largest_of_instants(found.places):
        assert instant.allocated_bytes == counted[instant.name]


def test_a_card_and_a_cpu_have_the_same_tensors() -> None:
    """But for dropout's mask and the words that stand in for them in float32, which `as_on_cuda` sees to on the CPU."""
    run = run_of(rank=4, eval_batch_size=1)
    card, cpu = on_card(Card(), asked_of(run, steps=0)), on_cpu(asked_of(run, steps=0))
    assert card.live.keys() == cpu.live.keys()
    for place, ledger in cpu.live.items():
        if place.phase != "load":
            assert card.live[place].allocated_bytes == pytest.approx(ledger.allocated_bytes, abs=16), place


def test_every_place_of_a_step_is_there() -> None:
    places = lora_on_card().places
    steps = {(place.phase, place.layer) for place in places if not place.evaluation}
    layers = {(phase, layer) for phase in ("forward", "backward") for layer in ("first", "middle", "last")}
    assert steps == layers | {(name, "") for name in ("load", "embed", "head", "loss_backward", "clip", "optimizer")}
    assert {place.phase for place in places if place.evaluation} == {"embed", "forward", "head", "after"}


def test_components_are_what_they_are_for() -> None:
    """Of a full fine-tuning in float32: AdamW's two moments, and one gradient, are as large as the weights."""
    found = full_on_card()
    weights = found.total * 4
    update = found.live[Place(OPTIMIZER, "", False)].components
    assert update["gradients"] == weights
    assert update[OPTIMIZER_STATES] == pytest.approx(2 * weights, abs=4 * 64)  # and a counter each
    assert weights <= update[BASE_WEIGHTS] <= weights + 1024  # rotary frequencies
    assert update[LOSS] == update[SAVED] == 0


def test_levels_on_a_card() -> None:
    found = lora_on_card()
    assert [levels.name for levels in found.levels] == list(ORDER)
    assert all(levels.reserved and levels.reserved >= levels.allocated for levels in found.levels)
    assert found.peak.reserved == max(levels.reserved or 0 for levels in found.levels)
    assert found.peak == Levels(max(x.allocated for x in found.levels), found.peak.reserved, 4 * GIB)


def test_timed_steps_have_nobody_watching() -> None:
    """The clock of this card goes by 1 ms an allocation: a step is timed at as many as a step in the warm-up has."""
    found = lora_on_card()
    first, second = found.samples
    assert first.step_s == pytest.approx(second.step_s)
    assert first.step_s == pytest.approx(first.forward_s + first.backward_s + first.optimizer_s, abs=0.02)


def test_workspaces_are_the_runtimes() -> None:
    """The driver's libraries take memory that no tensor shows; here, the rounding stands for it."""
    plain = lora_on_card()
    named = on_card(Card(), asked_of(run_of(**LORA), steps=0, workspaces=1000))
    for place, ledger in named.places.items():
        unseen = ledger.allocated_bytes - named.live[place].allocated_bytes
        assert ledger.components[RUNTIME] == min(unseen, 1000)
        assert ledger.allocated_bytes == plain.places[place].allocated_bytes


def test_progress_is_told_in_order() -> None:
    told: list[tuple[str, float]] = []
    on_card(Card(), asked_of(run_of(rank=4), steps=3), lambda phase, share: told.append((phase, share)))
    names = [phase for phase, _ in told]
    assert names == [
        "building the model",
        "warming up",
        *["timing steps"] * 3,
        "following its tensors",
    ]
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] < 1


def test_the_cache_is_emptied_between_steps() -> None:
    card = Card()
    on_card(card, asked_of(run_of(rank=4, empty_cache=True), steps=3))
    assert card.emptied == WARM_UP + 3 + 1


# bounds


def test_time_runs_out_before_the_first_timed_step() -> None:
    found = on_cpu(asked_of(run_of(**LORA), steps=9, seconds_left=lambda: 0.0))
    assert found.samples == ()
    assert found.peak == lora_on_cpu().peak


def test_no_step_is_begun_that_would_not_end_in_time() -> None:
    card = Card()
    single = lora_on_card().samples[0].step_s
    begun = None

    def left() -> float:
        nonlocal begun
        begun = card.clock_s if begun is None else begun
        return begun + 2.5 * single - card.clock_s

    assert len(on_card(card, asked_of(run_of(**LORA), steps=9, seconds_left=left)).samples) == 2


# memory that runs out


class Built:
    """Keeps weak references to what a run makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models: list[weakref.ref[Any]] = []
        self.tensors: list[weakref.ref[Any]] = []
        build = module.build

        def kept(*args: Any, **kwargs: Any) -> Any:
            made = build(*args, **kwargs)
            self.models.append(weakref.ref(made.model))
            self.tensors += [weakref.ref(parameter) for parameter in made.model.parameters()]
            return made

        monkeypatch.setattr(module, "build", kept)


def failure_of(card: Card, asked: Asked) -> MeasuredOutOfMemory:
    try:
        on_card(card, asked)
    except RanOutOfMemory as error:
        return error.failure
    raise AssertionError("there was enough memory")


@cache
def allocations() -> list[tuple[str, int, int]]:
    """Instant, step and number of the first allocation after each time that the run reads levels."""
    card = Card()
    found: list[tuple[str, int, int]] = []
    run = run_of(**LORA)
    torch.manual_seed(0)
    with quiet(), stack.quiet(), sampling() as sampler, card.on():
        enter = module.Leveled.enter

        def noted(self: Any, window: Any, component: str = TEMPORARY) -> None:
            enter(self, window, component)
            found.append((self.instant, self.step, card.allocations + 1))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(module.Leveled, "enter", noted)
            run_passes(asked_of(run, steps=0), card, sampler, Reading, silent)
    return found


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("instant", [name for name in ORDER if name not in ("load", "evaluation")])
def test_memory_runs_out_at_an_allocation(instant: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    number = next(number for name, at, number in allocations() if (name, at) == (instant, step))
    made = Built(monkeypatch)
    card = Card(capacity=10 * GIB, fails_at=number)
    failure = failure_of(card, asked_of(run_of(**LORA)))
    assert (failure.instant, failure.step) == (instant, step)
    assert failure.message == "CUDA out of memory"
    assert failure.requested_bytes is not None
    assert failure.capacity_bytes == 10 * GIB
    assert failure.allocated_bytes is not None and failure.reserved_bytes is not None
    assert 0 < failure.allocated_bytes <= failure.reserved_bytes
    if "backward" in instant:
        return  # in which torch itself keeps tensors where it is Python that raises an error
    gc.collect()
    assert len(made.models) == 1 and made.models[0]() is None
    assert len(made.tensors) > 20 and not any(tensor() is not None for tensor in made.tensors)
    assert card.requested <= 64, "of the model nothing is left on the card"


def test_memory_runs_out_while_loading() -> None:
    card = Card(fails_at=20)
    failure = failure_of(card, asked_of(run_of(**LORA)))
    assert (failure.instant, failure.step) == ("load", 0)
    gc.collect()
    assert card.requested == 0


def test_memory_runs_out_in_an_evaluation() -> None:
    number = next(number for name, _, number in allocations() if name == "evaluation")
    assert failure_of(Card(fails_at=number), asked_of(run_of(**LORA))).instant == "evaluation"


@pytest.mark.parametrize(("after", "step"), [(0, 3), (1, 4), (2, 5)], ids=["timed", "timed again", "followed"])
def test_memory_runs_out_in_a_later_step(after: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fragments add up: layers are not told apart there."""
    card = Card()
    update = module.Trainer.step
    steps = 0

    def counted(*args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == WARM_UP + after + 1:
            card.fails_at = card.allocations + 200  # in the forward pass: a step has more than 1,000
        update(*args)

    monkeypatch.setattr(module.Trainer, "step", counted)
    failure = failure_of(card, asked_of(run_of(rank=4), steps=2))
    assert (failure.instant, failure.step) == ("end_of_forward", step)


def test_a_card_that_is_too_small_is_a_matter_of_segments() -> None:
    """Half of what is reserved is not enough; what is reserved is."""
    asked = asked_of(run_of(**FULL, micro_batch_size=8, sequence_length=128), steps=1)
    whole = on_card(Card(), asked)
    failure = failure_of(Card(capacity=whole.peak.reserved // 2), asked)
    assert failure.requested_bytes is not None and failure.reserved_bytes is not None
    assert failure.reserved_bytes <= whole.peak.reserved // 2
    assert on_card(Card(capacity=whole.peak.reserved), asked).peak == whole.peak


def test_retries_are_those_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The allocator counts them since the process began."""
    card = Card()
    card.retries = 5
    step = module.Trainer.step

    def retrying(*args: Any) -> None:
        card.retries += 1
        step(*args)

    monkeypatch.setattr(module.Trainer, "step", retrying)
    assert on_card(card, asked_of(run_of(rank=4), steps=2)).retries == WARM_UP + 2 + 1


def test_an_error_that_is_not_about_memory_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(module.Trainer, "step", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        on_card(Card(), asked_of(run_of(rank=4)))


def test_host_memory_that_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own words for a CPU's (alloc_cpu.cpp), asked for in earnest: 2 EiB."""
    monkeypatch.setattr(module.Trainer, "step", lambda *_: torch.empty(2**61, dtype=torch.uint8))
    with pytest.raises(RanOutOfMemory) as raised:
        on_cpu(asked_of(run_of(rank=4)))
    failure = raised.value.failure
    assert failure.requested_bytes == 2**61
    assert (failure.allocated_bytes, failure.reserved_bytes) == (None, None)
    assert failure.capacity_bytes and failure.step == 1
    assert failure.message == f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {2**61} bytes"
    assert str(raised.value) == failure.message


CUDA_SAYS = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 14.74 GiB of which 1.06 GiB is "
    "free. Process 2233 has 13.68 GiB memory in use. Of the allocated memory 12.41 GiB is allocated by PyTorch"
)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (CUDA_SAYS, 2.5 * GIB),
        ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has", 20 * MIB),
        ("CUDA out of memory. Tried to allocate 512.00 KiB. GPU", 512 * 1024),
        ("CUDA out of memory. Tried to allocate 512 bytes. GPU", 512),
        ("HIP out of memory. Tried to allocate 1.17 GiB. GPU 0 has", 1.17 * GIB),
        ("XPU out of memory. Tried to allocate 96.00 MiB. GPU 0 has a total capacity of 15.56 GiB.", 96 * MIB),
        ("MPS backend out of memory (MPS allocated: 8.0 GiB, max allowed: 9.0 GiB). Tried to allocate 5 bytes on", 5),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes. Error code 12", 4096),
        ("CUDA error: out of memory", None),
        ("Tried to allocate 1.2.3 GiB", None),
        ("Tried to allocate . GiB", None),
        ("Tried to allocate 5 parsecs", None),
        ("", None),
    ],
)
def test_what_torch_says_that_it_tried_to_allocate(message: str, size: float | None) -> None:
    assert requested_bytes(message) == (None if size is None else round(size))


@given(st.text())
def test_no_message_is_too_odd(message: str) -> None:
    assert requested_bytes("Tried to allocate " + message) is None or message[0].isdigit() or message[0] == "."


# what tensors do not show


PLACE = Place(OPTIMIZER, "", False)
components = st.fixed_dictionaries({name: st.integers(0, 10**9) for name in COMPONENTS})


@given(components, st.integers(0, 10**10), st.integers(0, 10**9))
def test_the_sum_becomes_the_allocators(sizes: dict[str, int], counted: int, workspaces: int) -> None:
    ledger = Instant("optimizer step", sizes)
    levels = {PLACE: MeasuredLevels("optimizer step", counted, None, None, None, None)}
    found = with_unseen({PLACE: ledger}, levels, workspaces)[PLACE]
    others = set(COMPONENTS) - {RUNTIME, TEMPORARY}
    # no component is below 0, whatever an allocator says
    assert found.allocated_bytes == max(counted, sum(found.components[name] for name in {*others, RUNTIME}))
    assert all(found.components[name] == sizes[name] for name in others)
    assert 0 <= found.components[RUNTIME] - sizes[RUNTIME] <= workspaces


def test_a_place_that_nobody_counted_stays() -> None:
    ledger = Instant("optimizer step", dict.fromkeys(COMPONENTS, 1))
    assert with_unseen({PLACE: ledger}, {}, 100) == {PLACE: ledger}


def test_passes_do_not_change_what_chance_draws_of_them() -> None:
    """The figures of two runs are the same but for their time."""
    again = on_card(Card(), asked_of(run_of(**LORA)))
    known = lora_on_card()
    assert replace(again, samples=()) == replace(known, samples=())

"""Live bytes of real steps, against another dispatch mode that watches the same ones."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import bitsandbytes
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from planner.memory.ledger import COMPONENTS, Instant
from profiler.measure.as_on_cuda import as_on_cuda
from profiler.measure.build import Built
from profiler.measure.steps import Trainer
from profiler.measure.tracked import Tracked
from profiler.simulate.ledger import Place, largest_of_instants, ledgers_of_places, requested_sizes
from profiler.simulate.stream import Stream
from profiler.simulate.trace.trace import (
    ADAPTERS,
    BASE_WEIGHTS,
    CLIP,
    EVALUATION,
    GRADIENTS,
    LOSS,
    OPTIMIZER,
    OPTIMIZER_STATES,
    SAVED,
    TEMPORARY,
    Window,
)
from tests.planner.quantization.real import quantized_layers, weight_tensors
from tests.profiler.measure.small import CPU, LAYERS, LLAMA, SCHEMES, built, quiet, run_of

METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full", "base_dtype": "float32", "gradient_checkpointing": False},
    "lora": {"rank": 4, "dropout": 0.1},
    "qlora": {"method": "qlora", "rank": 4},
    "lora with all kept": {"rank": 4, "gradient_checkpointing": False, "gradient_accumulation_steps": 2},
}


class Live(TorchDispatchMode):
    """Bytes of all storages alive that operators have given out; it knows nothing of windows or components."""

    def __init__(self) -> None:
        super().__init__()
        self.known: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == "cpu":
                storage = leaf.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._ends, storage._cdata, storage.nbytes())
        return out

    def _ends(self, key: int, size: int) -> None:
        self.known.remove(key)
        self.now -= size


class Both:
    """Tells a `Tracked` of windows, and notes what is alive by another's count as each begins."""

    def __init__(self, tracked: Tracked, live: Live) -> None:
        self.tracked, self.live = tracked, live
        self.at: list[tuple[Window, int, int]] = []
        """Window, live bytes as it begins, and the most until the next."""

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        self.end()
        self.tracked.enter(window, component)
        self.at.append((window, self.live.now, 0))
        self.live.peak = self.live.now

    def end(self) -> None:
        if self.at:
            window, begun, _ = self.at[-1]
            self.at[-1] = (window, begun, self.live.peak)

    def settle(self, part: int) -> None:
        self.tracked.settle(part)


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def run_with(method: str) -> Any:
    return run_of(**METHODS[method], eval_batch_size=1)


def watched(method: str) -> tuple[Tracked, Both, Built, Trainer]:
    """Loading and two steps, and an evaluation."""
    run = run_with(method)
    # bitsandbytes keeps its code books for the process
    bitsandbytes.functional.quantize_4bit(torch.ones(64, 64), compress_statistics=True)
    tracked, live = Tracked("cpu"), Live()
    both = Both(tracked, live)
    with as_on_cuda(run), live:
        with tracked.loading():
            made = built(run, done=tracked.loaded)
        trainer = Trainer(made, run, CPU)
        with tracked.steps(made):
            for step in (1, 2):
                tracked.begin(step)
                trainer.step(both)
            trainer.evaluate(both)
            both.end()
    return tracked, both, made, trainer


@pytest.fixture(scope="module", params=METHODS)
def seen(request: pytest.FixtureRequest) -> tuple[Tracked, Both, Built, Trainer]:
    with quiet():
        return watched(request.param)


def curve(stream: Stream) -> list[tuple[Window, int, int]]:
    """The same of a stream, of the windows that the watcher is told of: those of layers belong to the one before."""
    sizes = requested_sizes(stream)
    found: list[tuple[Window, int, int]] = []
    alive = 0
    ends = [stretch.begins for stretch in stream.stretches[1:]] + [len(stream.events)]
    for stretch, end in zip(stream.stretches, ends, strict=True):
        if stretch.window.phase not in ("forward", "backward", "head") and stretch.step:
            found.append((stretch.window, alive, alive))
        for change in sizes[stretch.begins : end]:
            alive += change
            if found:
                window, begun, most = found[-1]
                found[-1] = (window, begun, max(most, alive))
    return found


def test_live_bytes_are_those_of_another_count_to_the_byte(seen: tuple[Tracked, Both, Built, Trainer]) -> None:
    """As each window begins, and the most in it."""
    tracked, both, _, _ = seen
    ours = curve(tracked.stream())
    assert [window for window, _, _ in ours] == [window for window, _, _ in both.at]
    assert ours == both.at
    assert len({most for _, _, most in ours}) > 5


def test_what_is_alive_at_the_end_is_the_model_and_its_states(seen: tuple[Tracked, Both, Built, Trainer]) -> None:
    tracked, _, made, trainer = seen
    ledger = alive_at_the_end(tracked.stream())
    kept = [*made.model.parameters(), *made.model.buffers()]
    kept += [tensor for _, layer in quantized_layers(made.model) for tensor in weight_tensors(layer)]
    trained = [parameter for parameter in made.model.parameters() if parameter.requires_grad]
    assert ledger[BASE_WEIGHTS] + ledger[ADAPTERS] == unique_bytes(kept)
    assert ledger[ADAPTERS] == (unique_bytes(trained) if made.adapted else 0)
    states = [x for state in trainer.optimizer.state.values() for x in state.values() if isinstance(x, torch.Tensor)]
    assert ledger[OPTIMIZER_STATES] == unique_bytes(states)
    assert ledger[GRADIENTS] == ledger[SAVED] == 0
    # the last loss is kept to be read
    assert ledger[LOSS] + ledger[TEMPORARY] <= 64


def alive_at_the_end(stream: Stream) -> dict[str, int]:
    found = dict.fromkeys(COMPONENTS, 0)
    for event, change in zip(stream.events, requested_sizes(stream), strict=True):
        found[stream.made[event.block].component] += change
    return found


def unique_bytes(tensors: list[torch.Tensor]) -> int:
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_components_sum_to_what_is_alive(seen: tuple[Tracked, Both, Built, Trainer]) -> None:
    tracked, both, _, _ = seen
    stream = tracked.stream()
    places = ledgers_of_places(stream, requested_sizes(stream), tracked.layers())
    at = {(window, step): most for step, (window, _, most) in enumerate(both.at)}
    second = len(both.at) // 2
    for phase in (CLIP, OPTIMIZER):
        [most] = [size for (window, step), size in at.items() if window.phase == phase and step >= second - 2]
        assert places[Place(phase, "", False)].allocated_bytes == most
    evaluation = max(most for window, _, most in both.at if window.part == EVALUATION)
    assert max(ledger.allocated_bytes for place, ledger in places.items() if place.evaluation) == evaluation
    assert all(sum(ledger.components.values()) == ledger.allocated_bytes for ledger in places.values())
    assert all(size >= 0 for ledger in places.values() for size in ledger.components.values())


def test_gradients_of_a_step(seen: tuple[Tracked, Both, Built, Trainer]) -> None:
    tracked, _, made, _ = seen
    stream = tracked.stream()
    places = ledgers_of_places(stream, requested_sizes(stream), tracked.layers())
    trained = sum(x.numel() * x.element_size() for x in made.model.parameters() if x.requires_grad)
    assert places[Place(OPTIMIZER, "", False)].components[GRADIENTS] == trained
    assert places[Place(CLIP, "", False)].components[SAVED] == 0
    assert places[Place("head", "", False)].components[LOSS] > 0
    checkpointed = made.layers[0].gradient_checkpointing
    hidden = 2 * 16 * 32 * (4 if not made.adapted else 2)
    if checkpointed:
        assert places[Place("head", "", False)].components[SAVED] >= LAYERS * hidden  # what goes into each layer


def test_the_layers_that_ran(seen: tuple[Tracked, Both, Built, Trainer]) -> None:
    layers = seen[0].layers()
    assert (layers.first, layers.last) == (0, LAYERS - 1)


def later(method: str) -> dict[Place, Instant]:
    """The ledgers of a third step that is followed after two that nobody followed."""
    torch.manual_seed(0)
    run = run_with(method)
    tracked = Tracked("cpu")
    with as_on_cuda(run):
        made = built(run)
        trainer = Trainer(made, run, CPU)
        for _ in (1, 2):
            trainer.step(Both(Tracked("cpu"), Live()))
        trainer.evaluate(Both(Tracked("cpu"), Live()))
        tracked.adopt_model(made)
        tracked.adopt_states(trainer.optimizer)
        with tracked.steps(made):
            tracked.begin(3)
            trainer.step(tracked)
            trainer.evaluate(tracked)
    stream = tracked.stream()
    return ledgers_of_places(stream, requested_sizes(stream), tracked.layers())


def throughout(method: str) -> dict[Place, Instant]:
    torch.manual_seed(0)
    tracked, _, _, _ = watched(method)
    stream = tracked.stream()
    return ledgers_of_places(stream, requested_sizes(stream), tracked.layers())


@pytest.mark.parametrize("method", METHODS)
def test_what_is_adopted_is_as_if_it_had_been_followed_from_the_start(method: str) -> None:
    ours = {place: ledger for place, ledger in later(method).items() if place.phase != "load"}
    whole = {place: ledger for place, ledger in throughout(method).items() if place.phase != "load"}
    assert ours.keys() == whole.keys()
    for place, ledger in whole.items():
        differing = {
            name: (ours[place].components[name], size)
            for name, size in ledger.components.items()
            if ours[place].components[name] != size
        }
        # the last loss of the steps before, which nobody has told it of
        assert all(name in (TEMPORARY, LOSS) and 0 <= size - own <= 4 for name, (own, size) in differing.items())
    instants = [instant.name for instant in largest_of_instants(ours)]
    assert instants == [instant.name for instant in largest_of_instants(whole)]


def test_what_is_adopted_is_freed() -> None:
    run = run_with("lora")
    made = built(run)
    trainer = Trainer(made, run, CPU)
    trainer.step(Both(Tracked("cpu"), Live()))
    tracked = Tracked("cpu")
    tracked.adopt_model(made)
    tracked.adopt_states(trainer.optimizer)
    adopted = alive_at_the_end(tracked.stream())
    assert adopted[BASE_WEIGHTS] > 0 and adopted[ADAPTERS] > 0 and adopted[OPTIMIZER_STATES] > 0
    trainer.optimizer.state.clear()
    assert alive_at_the_end(tracked.stream())[OPTIMIZER_STATES] == 0
    model = weakref.ref(made.model)
    del made, trainer
    gc.collect()
    assert model() is None
    assert not any(alive_at_the_end(tracked.stream()).values())


def test_nothing_is_followed_before_or_after_it_is_asked_to() -> None:
    run = run_with("lora")
    tracked = Tracked("cpu")
    with tracked.loading():
        made = built(run, done=tracked.loaded)
    events = len(tracked.stream().events)
    outside = [torch.empty(1000) for _ in range(3)]
    assert len(tracked.stream().events) == events
    trainer = Trainer(made, run, CPU)
    with tracked.steps(made):
        tracked.begin(1)
        trainer.step(tracked)
    events = len(tracked.stream().events)
    windows = len(tracked.stream().stretches)
    trainer.step(Both(Tracked("cpu"), Live()))
    made_since = [event for event in tracked.stream().events[events:] if event.size]
    assert not made_since and len(tracked.stream().stretches) == windows
    del outside


@pytest.mark.parametrize("scheme", SCHEMES)
def test_adopting_sees_all_that_a_quantized_weight_holds(scheme: str) -> None:
    run = run_of(LLAMA, rank=4, **SCHEMES[scheme])
    made = built(run)
    tracked = Tracked("cpu")
    tracked.adopt_model(made)
    tracked.adopt_states(Trainer(made, run, CPU).optimizer)
    tracked.begin(1)
    kept = [*made.model.parameters(), *made.model.buffers()]
    kept += [tensor for _, layer in quantized_layers(made.model) for tensor in weight_tensors(layer)]
    ledger = alive_at_the_end(tracked.stream())
    assert ledger[BASE_WEIGHTS] + ledger[ADAPTERS] == sum(ledger.values()) == unique_bytes(kept)

"""Levels by place and instant, of a device whose counters a script sets."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from planner.memory.estimate import EVALUATION as AT_EVALUATION
from planner.memory.estimate import LOAD as AT_LOAD
from planner.memory.estimate import OPTIMIZER_STEP
from planner.memory.step import END_OF_FORWARD, FIRST_BACKWARD, LAST_BACKWARD, LOSS_INSTANT, MIDDLE_BACKWARD
from profiler.measure.build import Built
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.device.sampler import Reading
from profiler.measure.leveled import Leveled, higher, highest_of_instants
from profiler.measure.types import MeasuredLevels
from profiler.simulate.ledger import Place
from profiler.simulate.trace.trace import (
    AFTER,
    BACKWARD,
    CLIP,
    EMBED,
    EVALUATION,
    FORWARD,
    HEAD,
    LOAD,
    LOSS_BACKWARD,
    OPTIMIZER,
    ZERO_GRAD,
    Window,
)
from tests.profiler.measure.small import quiet


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


class Device:
    """Its peak is set by a test, and falls to what is held as it is reset."""

    def __init__(self, counts: bool = True) -> None:
        self.counts = counts
        self.held = 0
        self.peak = 0
        self.resets = 0

    def reset_peaks(self) -> None:
        self.resets += 1
        self.peak = self.held

    def allocator(self) -> AllocatorLevels | None:
        if not self.counts:
            return None
        return AllocatorLevels(self.held, self.held * 2, self.peak, self.peak * 2, 0)


class Net(nn.Module):
    """Three layers, each of which has the device hold 10 more."""

    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device
        self.layers = nn.ModuleList(Layer(device, number) for number in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x.sum()


class Layer(nn.Module):
    def __init__(self, device: Device, number: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.device, self.number = device, number

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.device.held += 10
        self.device.peak = max(self.device.peak, self.device.held + self.number)
        return self.linear(x)


def built(net: nn.Module) -> Built:
    return Built(net, list(net.layers), "layers", False, 0, 0)


def step(leveled: Leveled, device: Device, net: Net, peak_of: dict[str, int]) -> None:
    """One step in which the counters go to `peak_of` a phase."""

    def at(phase: str, part: int = 0) -> None:
        leveled.enter(Window(phase, None, part))
        device.peak = max(device.peak, peak_of.get(phase, 0))

    at(EMBED)
    device.held = 100
    device.peak = max(device.peak, 100)
    loss = net(torch.ones(1, 2))
    device.peak = max(device.peak, peak_of.get(HEAD, 0))
    at(LOSS_BACKWARD)
    loss.backward()
    for phase in (AFTER, CLIP, OPTIMIZER, ZERO_GRAD):
        at(phase)


def levels_of(peaks: list[dict[str, int]], readings: list[Reading] | None = None) -> Leveled:
    device = Device()
    net = Net(device)
    given = iter(readings or [])
    leveled = Leveled(device, lambda: next(given, Reading()))
    device.held = device.peak = 7
    with leveled.steps(built(net)):
        for number, peak_of in enumerate(peaks, 1):
            leveled.begin(number)
            step(leveled, device, net, peak_of)
    return leveled


def allocated(leveled: Leveled) -> dict[tuple[str, str], int]:
    return {(place.phase, place.layer): levels.allocated for place, levels in leveled.places.items()}


def test_the_first_step_makes_states_and_is_left_out() -> None:
    leveled = levels_of([{CLIP: 9999, HEAD: 9999}])
    assert allocated(leveled) == {(LOAD, ""): 7}


def test_each_place_has_its_own_peak() -> None:
    leveled = levels_of([{}, {EMBED: 90, HEAD: 500, LOSS_BACKWARD: 600, CLIP: 200, OPTIMIZER: 300}])
    assert allocated(leveled) == {
        (LOAD, ""): 7,
        (EMBED, ""): 130,  # what the step before left
        (FORWARD, "first"): 110,
        (FORWARD, "middle"): 121,
        (FORWARD, "last"): 132,
        (HEAD, ""): 500,
        (LOSS_BACKWARD, ""): 600,
        (BACKWARD, "last"): 130,
        (BACKWARD, "middle"): 130,
        (BACKWARD, "first"): 130,
        (CLIP, ""): 200,
        (OPTIMIZER, ""): 300,
    }
    assert all(levels.reserved == 2 * levels.allocated for levels in leveled.places.values())


def test_the_highest_of_all_later_steps_is_kept() -> None:
    peaks = [{HEAD: 9999}, {HEAD: 400, CLIP: 310}, {HEAD: 700}, {HEAD: 500, CLIP: 300}]
    found = allocated(levels_of(peaks))
    assert found[HEAD, ""] == 700
    assert found[CLIP, ""] == 310


def test_levels_are_named_and_ordered_by_instant() -> None:
    leveled = levels_of([{}, {HEAD: 500, LOSS_BACKWARD: 600, CLIP: 200, OPTIMIZER: 300}])
    instants = highest_of_instants(leveled.places)
    assert [(levels.name, levels.allocated) for levels in instants] == [
        (AT_LOAD, 7),
        (END_OF_FORWARD, 132),
        (LOSS_INSTANT, 600),
        (FIRST_BACKWARD, 130),
        (MIDDLE_BACKWARD, 130),
        (LAST_BACKWARD, 130),
        (OPTIMIZER_STEP, 300),
    ]


def test_the_order_does_not_depend_on_what_came_first() -> None:
    places = {
        Place(OPTIMIZER, "", False): MeasuredLevels(OPTIMIZER_STEP, 1, None, None, None, None),
        Place(EMBED, "", True): MeasuredLevels(AT_EVALUATION, 2, None, None, None, None),
        Place(LOAD, "", False): MeasuredLevels(AT_LOAD, 3, None, None, None, None),
    }
    assert [levels.name for levels in highest_of_instants(places)] == [AT_LOAD, OPTIMIZER_STEP, AT_EVALUATION]


def test_an_evaluation_is_an_instant_even_beside_the_first_step() -> None:
    device = Device()
    net = Net(device)
    leveled = Leveled(device, Reading)
    with leveled.steps(built(net)):
        leveled.begin(2)
        leveled.enter(Window(EMBED, None, EVALUATION))
        with torch.no_grad():
            net(torch.ones(1, 2))
        leveled.enter(Window(AFTER, None, EVALUATION))
    assert {place for place in leveled.places if place.evaluation} == {
        Place(EMBED, "", True),
        *(Place(FORWARD, layer, True) for layer in ("first", "middle", "last")),
        Place(HEAD, "", True),
        Place(AFTER, "", True),
    }
    assert {levels.name for place, levels in leveled.places.items() if place.evaluation} == {AT_EVALUATION}


def test_what_the_driver_and_the_host_say_is_kept_beside_it() -> None:
    device = Device()
    readings = iter([Reading(5, 50, 500), Reading(9, None, 400), Reading(7, 60, None)])
    leveled = Leveled(device, lambda: next(readings))
    for _ in range(3):
        leveled.enter(Window(LOAD))
    [levels] = leveled.places.values()
    assert (levels.host, levels.process, levels.device) == (9, 60, 500)


def test_without_an_allocator_there_is_nothing_but_the_reading() -> None:
    leveled = Leveled(Device(counts=False), lambda: Reading(5))
    leveled.enter(Window(CLIP))
    [levels] = leveled.places.values()
    assert levels == MeasuredLevels(AT_LOAD, 0, None, None, None, 5)


def test_higher_is_level_by_level() -> None:
    one = MeasuredLevels("loss", 5, 10, None, 3, None)
    other = MeasuredLevels("loss", 4, 12, 7, None, None)
    assert higher(one, other) == higher(other, one) == MeasuredLevels("loss", 5, 12, 7, 3, None)


@pytest.mark.parametrize(
    ("window", "instant"),
    [
        (Window(LOAD), AT_LOAD),
        (Window(HEAD), LOSS_INSTANT),
        (Window(BACKWARD, 0), LAST_BACKWARD),
        (Window(BACKWARD, 1), MIDDLE_BACKWARD),
        (Window(BACKWARD, 2), FIRST_BACKWARD),
        (Window(OPTIMIZER), OPTIMIZER_STEP),
        (Window(ZERO_GRAD), OPTIMIZER_STEP),
        (Window(EMBED, None, EVALUATION), AT_EVALUATION),
    ],
    ids=str,
)
def test_the_instant_that_is_under_way(window: Window, instant: str) -> None:
    """Of a failure, which can be anywhere."""
    device = Device()
    leveled = Leveled(device, Reading)
    net: Any = SimpleNamespace(modules=lambda: iter(()), named_parameters=lambda: iter(()))
    with leveled.steps(Built(net, [nn.Identity() for _ in range(3)], "layers", False, 0, 0)):
        leveled.enter(window)
        assert leveled.instant == instant


def test_while_loading_the_instant_is_loading() -> None:
    leveled = Leveled(Device(), Reading)
    assert (leveled.instant, leveled.step) == (AT_LOAD, 0)

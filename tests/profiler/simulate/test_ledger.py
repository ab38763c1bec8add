"""Ledgers of hand-made streams."""

from __future__ import annotations

import pytest

from profiler.simulate.events import Event
from profiler.simulate.ledger import LayerRange, instant_of, ledgers, requested_sizes
from profiler.simulate.stream import Stream, Stretch
from profiler.simulate.trace.trace import (
    AFTER,
    BACKWARD,
    BASE_WEIGHTS,
    CLIP,
    EMBED,
    EVALUATION,
    FORWARD,
    GRADIENTS,
    HEAD,
    LOAD,
    LOSS,
    LOSS_BACKWARD,
    OPTIMIZER,
    SAVED,
    TEMPORARY,
    ZERO_GRAD,
    Allocation,
    Window,
)

FOUR = LayerRange(0, 3)


class Sheet:
    """Writes a stream: windows, with what is made and ended in them."""

    def __init__(self) -> None:
        self.stream = Stream()

    def window(self, step: int, phase: str, layer: int | None = None, part: int = 0) -> None:
        self.stream.stretches.append(Stretch(len(self.stream.events), step, Window(phase, layer, part)))

    def make(self, size: int, component: str = TEMPORARY) -> int:
        block = len(self.stream.made)
        self.stream.made.append(Allocation(size, 0, block, "op", "", component))
        self.stream.events.append(Event(block, size))
        return block

    def end(self, block: int) -> None:
        self.stream.events.append(Event(block, 0))

    def ledgers(self, layers: LayerRange = FOUR) -> dict[str, dict[str, int]]:
        """Without the components that are not there."""
        found = ledgers(self.stream, requested_sizes(self.stream), layers)
        return {one.name: {name: size for name, size in one.components.items() if size} for one in found}


@pytest.mark.parametrize(
    ("window", "instant"),
    [
        (Window(LOAD, 2, 11), "load"),
        (Window(EMBED), "end_of_forward"),
        (Window(FORWARD, 3), "end_of_forward"),
        (Window(HEAD), "loss"),
        (Window(LOSS_BACKWARD), "loss"),
        (Window(BACKWARD, 3), "first_backward_block"),
        (Window(BACKWARD, 1), "middle_backward_block"),
        (Window(BACKWARD, 0), "last_backward_block"),
        (Window(AFTER), None),
        (Window(CLIP, None, 1), "optimizer_step"),
        (Window(OPTIMIZER, None, 0), "optimizer_step"),
        (Window(ZERO_GRAD), None),
        (Window(HEAD, None, EVALUATION), "evaluation"),
        (Window(FORWARD, 0, EVALUATION), "evaluation"),
    ],
    ids=str,
)
def test_windows_belong_to_instants(window: Window, instant: str | None) -> None:
    assert instant_of(window, FOUR) == instant


def test_the_only_layer_is_the_last_of_the_backward_pass() -> None:
    assert instant_of(Window(BACKWARD, 5), LayerRange(5, 5)) == "last_backward_block"


def test_an_instant_has_the_ledger_of_its_largest_moment() -> None:
    sheet = Sheet()
    sheet.window(0, LOAD)
    sheet.make(100, BASE_WEIGHTS)
    sheet.window(2, FORWARD, 0)
    sheet.make(10, SAVED)
    passing = sheet.make(5)
    sheet.end(passing)
    sheet.make(3, SAVED)
    sheet.window(2, HEAD)
    sheet.make(20, LOSS)
    assert sheet.ledgers() == {
        "load": {BASE_WEIGHTS: 100},
        "end_of_forward": {BASE_WEIGHTS: 100, SAVED: 10, TEMPORARY: 5},
        "loss": {BASE_WEIGHTS: 100, SAVED: 13, LOSS: 20},
    }


def test_windows_of_one_instant_are_taken_together() -> None:
    """The largest of all micro-batches, and of head and loss."""
    sheet = Sheet()
    for part, size in enumerate((10, 30, 20)):
        sheet.window(2, FORWARD, 0, part)
        sheet.end(sheet.make(size, SAVED))
    assert sheet.ledgers() == {"end_of_forward": {SAVED: 30}}


def test_what_is_alive_as_a_window_begins_counts() -> None:
    sheet = Sheet()
    sheet.window(2, FORWARD, 0)
    block = sheet.make(10, SAVED)
    sheet.window(2, HEAD)
    sheet.end(block)
    assert sheet.ledgers()["loss"] == {SAVED: 10}


def test_the_first_step_does_not_count_but_its_evaluation_does() -> None:
    sheet = Sheet()
    sheet.window(1, FORWARD, 0)
    sheet.end(sheet.make(50, SAVED))
    sheet.window(1, FORWARD, 0, EVALUATION)
    sheet.end(sheet.make(7))
    sheet.window(2, FORWARD, 0)
    sheet.make(10, SAVED)
    assert sheet.ledgers() == {"end_of_forward": {SAVED: 10}, "evaluation": {TEMPORARY: 7}}


@pytest.mark.parametrize(("middle", "said"), [(5, False), (30, False), (31, True)])
def test_the_middle_of_the_backward_pass_is_said_where_it_is_the_largest(middle: int, said: bool) -> None:
    sheet = Sheet()
    for layer, size in ((3, 30), (1, middle), (0, 20)):
        sheet.window(2, BACKWARD, layer)
        sheet.end(sheet.make(size, GRADIENTS))
    assert ("middle_backward_block" in sheet.ledgers()) is said


def test_what_the_head_leaves_is_a_gradient_on_its_way() -> None:
    sheet = Sheet()
    sheet.window(2, HEAD)
    sheet.make(20, LOSS)
    sheet.window(2, BACKWARD, 3)
    sheet.make(1)
    assert sheet.ledgers() == {"loss": {LOSS: 20}, "first_backward_block": {TEMPORARY: 21}}


def test_instants_are_in_the_order_of_a_step() -> None:
    sheet = Sheet()
    for phase, layer in ((OPTIMIZER, None), (BACKWARD, 0), (BACKWARD, 3), (HEAD, None), (EMBED, None), (LOAD, None)):
        sheet.window(0 if phase == LOAD else 2, phase, layer)
    names = ["load", "end_of_forward", "loss", "first_backward_block", "last_backward_block", "optimizer_step"]
    assert list(sheet.ledgers()) == names


def test_sizes_as_the_allocator_rounds_them() -> None:
    sheet = Sheet()
    sheet.window(2, FORWARD, 0)
    sheet.make(10, SAVED)
    sheet.make(600, SAVED)
    (found,) = ledgers(sheet.stream, [512, 1024], FOUR)
    assert (found.components[SAVED], found.allocated_bytes) == (1536, 1536)
    assert requested_sizes(sheet.stream) == [10, 600]

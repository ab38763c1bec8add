"""Windows of a step of a small network, opened as its layers run; on CPU tensors."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.trace import (
    BACKWARD,
    EMBED,
    FORWARD,
    GRADIENTS,
    HEAD,
    LOAD,
    LOSS,
    LOSS_BACKWARD,
    SAVED,
    Allocation,
    Window,
)
from profiler.simulate.trace.tracker import Tracker


class Layer(nn.Module):
    """One layer; in a tuple with something else if it is told to."""

    def __init__(self, in_a_tuple: bool = False) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
        self.in_a_tuple = in_a_tuple

    def forward(self, x: Any) -> Any:
        x = x + self.down(torch.tanh(self.up(x)))
        return (x, None) if self.in_a_tuple else x


class Net(nn.Module):
    """Layers that are checkpointed as transformers does it."""

    def __init__(self, layers: int = 3, *, checkpointing: bool = False, in_a_tuple: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(2, 4)
        self.layers = nn.ModuleList(Layer(in_a_tuple) for _ in range(layers))
        self.head = nn.Linear(4, 1)
        for layer in self.layers if checkpointing else ():
            layer._gradient_checkpointing_func = functools.partial(checkpoint, use_reentrant=False)  # pyright: ignore

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        for layer in self.layers:
            run = getattr(layer, "_gradient_checkpointing_func", None)
            x = layer(x) if run is None else run(layer.__call__, x)
            x = x[0] if isinstance(x, tuple) else x
        return self.head(x).sum()


def traced(model: Net, micro_batches: int = 1) -> Tracker:
    tracker = Tracker(device="cpu")
    names = {id(module): name for name, module in model.named_modules()}
    marks = Marks(tracker, list(model.layers), names)
    with tracker, marks.on(model):
        tracker.enter(Window(LOAD))
        for parameter in model.parameters():
            parameter.detach()  # seen, as if it were made here
        for part in range(micro_batches):
            marks.part = part
            marks.forward()
            tracker.enter(Window(EMBED, None, part))
            loss = model(torch.ones(5, 2))
            tracker.enter(Window(LOSS_BACKWARD, None, part))
            marks.backward()
            loss.backward()
            del loss
        tracker.close()
    return tracker


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("in_a_tuple", [False, True])
def test_windows_follow_the_layers_up_and_down(checkpointing: bool, in_a_tuple: bool) -> None:
    tracker = traced(Net(checkpointing=checkpointing, in_a_tuple=in_a_tuple))
    assert [traced.window for traced in tracker.trace.windows] == [
        Window(LOAD),
        Window(EMBED),
        *(Window(FORWARD, layer) for layer in (0, 1, 2)),
        Window(HEAD),
        Window(LOSS_BACKWARD),
        *(Window(BACKWARD, layer) for layer in (2, 1, 0)),
    ]


def test_windows_are_of_their_micro_batch() -> None:
    tracker = traced(Net(2), micro_batches=2)
    windows = [traced.window for traced in tracker.trace.windows[1:]]
    assert [window.part for window in windows] == [0] * 7 + [1] * 7
    assert [window._replace(part=0) for window in windows[7:]] == windows[:7]


def test_allocations_are_of_the_module_that_runs() -> None:
    tracker = traced(Net(1))
    forward = tracker.trace.windows[2].allocations
    assert [made.module for made in forward] == ["layers.0.up", "layers.0", "layers.0.down", "layers.0"]
    assert {made.module for made in tracker.trace.windows[-1].allocations} == {""}


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_gradients_are_known_by_their_parameter(micro_batches: int) -> None:
    model = Net(2)
    model.layers[0].requires_grad_(False)
    tracker = traced(model, micro_batches)
    gradients = tracker.trace.gradients
    assert set(gradients) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, free in gradients.items():
        made = tracker.trace.allocation(free)
        assert (made.size, made.component) == (4 * model.get_parameter(name).numel(), GRADIENTS)
    where = tracker.trace.windows[gradients["layers.1.up.weight"].window].window
    assert (where.phase, where.layer) == (BACKWARD, 1)


def test_what_the_last_layer_hands_on_is_the_heads() -> None:
    last = traced(Net(2)).trace.windows[3].allocations
    assert [made.component for made in last][-1] == LOSS
    assert LOSS not in {made.component for made in last[:-1]}


def test_a_checkpointed_layer_runs_again_in_its_backward_window() -> None:
    """What is recomputed and kept for the gradients are the input of tanh and of `down`: 5 by 8, once each."""
    tracker = traced(Net(2, checkpointing=True))
    backward = tracker.trace.windows[-2]
    assert backward.window == Window(BACKWARD, 1)
    again = [made for made in backward.allocations if made.recomputed]
    assert {made.module for made in again} >= {"layers.1.up", "layers.1"}
    assert [made.size for made in again if made.component == SAVED] == [4 * 5 * 8]
    assert not any(made.recomputed for traced in traced_forward(tracker) for made in traced)


def traced_forward(tracker: Tracker) -> list[list[Allocation]]:
    return [traced.allocations for traced in tracker.trace.windows if traced.window.phase == FORWARD]


def test_a_layer_that_ends_in_an_exception_leaves_the_names_in_order() -> None:
    model = Net(2)
    tracker = Tracker(device="cpu")
    marks = Marks(tracker, list(model.layers), {id(module): name for name, module in model.named_modules()})
    tracker.enter(Window(EMBED))
    with tracker, marks.on(model):
        with pytest.raises(RuntimeError):
            model.layers[1](torch.ones(5, 3))
        assert tracker.failed is not None
        assert tracker.failed[1:] == ("layers.1.up", Window(FORWARD, 1))
        assert tracker.module == ""


def test_marks_are_taken_away() -> None:
    model = Net(1)
    tracker = traced(model)
    windows = len(tracker.trace.windows)
    model(torch.ones(5, 2)).backward()
    assert len(tracker.trace.windows) == windows


@pytest.mark.parametrize("raises", [False, True])
def test_layers_checkpoint_by_their_own_function_again(raises: bool) -> None:
    """Marks come and go around the steps of one model, and are never wrapped in each other."""
    model = Net(2, checkpointing=True)
    own = [vars(layer)["_gradient_checkpointing_func"] for layer in model.layers]
    for _ in range(3):
        tracker = Tracker(device="cpu")
        tracker.enter(Window(EMBED))
        with contextlib.suppress(ValueError), Marks(tracker, list(model.layers), {}).on(model):
            assert all(
                vars(layer)["_gradient_checkpointing_func"] is not function
                for layer, function in zip(model.layers, own, strict=True)
            )
            if raises:
                raise ValueError
        assert [vars(layer)["_gradient_checkpointing_func"] for layer in model.layers] == own


def test_a_layer_without_checkpointing_is_given_none() -> None:
    model = Net(2)
    tracker = Tracker(device="cpu")
    tracker.enter(Window(EMBED))
    with Marks(tracker, list(model.layers), {}).on(model):
        pass
    assert all("_gradient_checkpointing_func" not in vars(layer) for layer in model.layers)


def test_marks_tell_whoever_follows_no_tensors() -> None:
    """Only of windows: what measures levels has no allocations to name."""

    class Told:
        module = ""
        window = Window(LOAD)

        def __init__(self) -> None:
            self.windows: list[Window] = []

        def enter(self, window: Window, component: str = "") -> None:
            self.window = window
            self.windows.append(window)

        def recompute(self, begins: bool) -> None: ...

        def allocation_of(self, tensor: torch.Tensor) -> None: ...

        def gradient(self, name: str, allocation: Allocation) -> None:
            raise AssertionError("nothing is known of it")

    model, told = Net(2, checkpointing=True), Told()
    marks = Marks(told, list(model.layers), {})
    with marks.on(model):
        marks.forward()
        loss = model(torch.ones(5, 2))
        marks.backward()
        loss.backward()
    assert told.windows == [
        Window(FORWARD, 0),
        Window(FORWARD, 1),
        Window(HEAD),
        Window(BACKWARD, 1),
        Window(BACKWARD, 0),
    ]

"""A model's tensors on the simulated device, in the order in which they are loaded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from profiler.simulate.build.materialize import materialize
from profiler.simulate.device import on_sim
from profiler.simulate.device.backend import NAME, FakeMode
from profiler.simulate.trace.trace import (
    ADAPTERS,
    ADDED,
    BASE,
    BASE_WEIGHTS,
    LOAD,
    TEMPORARY,
    UPCAST,
    Allocation,
    Window,
)
from profiler.simulate.trace.tracker import Tracker


class Layer(nn.Module):
    """A weight, a buffer, and an adapter that comes later."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(4, 4, dtype=torch.bfloat16, device="meta"))
        self.register_buffer("scale", torch.empty(3, device="meta"))
        self.register_buffer("nothing", None)


class Net(nn.Module):
    """Two layers between an embedding and a head that is tied to it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(8, 4, dtype=torch.bfloat16, device="meta")
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.head = nn.Linear(4, 8, bias=False, dtype=torch.bfloat16, device="meta")
        self.head.weight = self.embed.weight
        self.register_buffer("frequencies", torch.empty(5, device="meta"))


def placed(model: Any, loaded: dict[int, torch.dtype]) -> Tracker:
    tracker = Tracker()
    with on_sim(padded=False), FakeMode(), tracker:
        materialize(model, model.layers, loaded, tracker)
        tracker.close()
    return tracker


def dtypes_of(model: nn.Module) -> dict[int, torch.dtype]:
    return {id(parameter): parameter.dtype for parameter in model.parameters()}


def in_words(tracker: Tracker) -> list[tuple[Window, list[str]]]:
    """What is made in each window, `+32 base_weights`, and freed, `-32`; without the empty ones."""
    return [
        (
            traced.window,
            [
                f"+{step.size} {step.component}"
                if isinstance(step, Allocation)
                else f"-{tracker.trace.allocation(step).size}"
                for step in traced.steps
            ],
        )
        for traced in tracker.trace.windows
        if traced.steps
    ]


def test_weights_then_buffers_in_windows_of_their_layers() -> None:
    model = Net()
    tracker = placed(model, dtypes_of(model))
    assert in_words(tracker) == [
        (Window(LOAD, None, BASE), ["+64 base_weights"]),
        (Window(LOAD, 0, BASE), ["+32 base_weights"]),
        (Window(LOAD, 1, BASE), ["+32 base_weights"]),
        (Window(LOAD, None, ADDED + 2), ["+20 base_weights"]),
        (Window(LOAD, 0, ADDED + 2), ["+12 base_weights"]),
        (Window(LOAD, 1, ADDED + 2), ["+12 base_weights"]),
    ]


def test_every_tensor_is_fake_and_on_the_device() -> None:
    model = Net()
    shapes = [(name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters()]
    placed(model, dtypes_of(model))
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {NAME}
    assert [(name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters()] == shapes


def test_tied_weights_stay_tied() -> None:
    model = Net()
    placed(model, dtypes_of(model))
    assert model.head.weight is model.embed.weight


def test_a_shared_buffer_stays_shared() -> None:
    model: Any = Net()
    model.layers[1].scale = model.layers[0].scale
    tracker = placed(model, dtypes_of(model))
    assert model.layers[1].scale is model.layers[0].scale
    assert [words for window, words in in_words(tracker) if window.part > ADDED + 1] == [
        ["+20 base_weights"],
        ["+12 base_weights"],
    ]


def test_adapters_come_after_the_base() -> None:
    model: Any = Net()
    loaded = dtypes_of(model)
    for layer in model.layers:
        layer.lora = nn.Parameter(torch.empty(2, device="meta"))
    tracker = placed(model, loaded)
    assert [(window, words) for window, words in in_words(tracker) if ADDED <= window.part < ADDED + 2] == [
        (Window(LOAD, 0, ADDED), [f"+8 {ADAPTERS}"]),
        (Window(LOAD, 1, ADDED), [f"+8 {ADAPTERS}"]),
    ]


def test_the_upcast_replaces_tensor_by_tensor() -> None:
    """`prepare_model_for_kbit_training` casts in place: the one in 16 bits goes once the one in 32 is there."""
    model: Any = Net()
    loaded = dtypes_of(model)
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    tracker = placed(model, loaded)
    upcast = [(window, words) for window, words in in_words(tracker) if UPCAST <= window.part < ADDED]
    assert upcast == [
        (Window(LOAD, None, UPCAST), [f"+128 {BASE_WEIGHTS}", "-64"]),
        (Window(LOAD, 0, UPCAST), [f"+64 {BASE_WEIGHTS}", "-32"]),
        (Window(LOAD, 1, UPCAST), [f"+64 {BASE_WEIGHTS}", "-32"]),
    ]
    assert in_words(tracker)[0] == (Window(LOAD, None, BASE), [f"+64 {TEMPORARY}"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("trained", [True, False])
def test_what_is_trained_stays_so(trained: bool) -> None:
    model = Net().requires_grad_(trained)
    placed(model, dtypes_of(model))
    assert {parameter.requires_grad for parameter in model.parameters()} == {trained}

"""Errors of the stack, in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from planner.errors import Abstention, InputError
from planner.run import TrainingRun
from profiler.simulate.device.backend import NAME, FakeMode, register
from profiler.simulate.trace.failures import explained
from profiler.simulate.trace.trace import FORWARD, HEAD, LOAD, LOSS_BACKWARD, Window
from profiler.simulate.trace.tracker import Tracker

RUN = TrainingRun(model="llama-3.1-8b")
INSIDE = (Window(FORWARD, 7), "mlp.gate")


def failing(body: Callable[[torch.Tensor], Any], run: TrainingRun = RUN, where: tuple[Window, str] = INSIDE) -> str:
    register()

    def traced() -> None:
        tracker = Tracker()
        with explained(tracker, run, "model.layers"), FakeMode(), tracker:
            tracker.enter(Window(LOAD))
            x = torch.empty(4, 4, device=NAME)
            tracker.enter(where[0])
            tracker.module = where[1]
            body(x)

    with pytest.raises(Abstention) as caught:
        traced()
    return str(caught.value)


torch.library.define("lora_plan_tests::of_a_library", "(Tensor x) -> Tensor")


@torch.library.custom_op("lora_plan_tests::in_python", mutates_args=())
def in_python(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


@pytest.mark.parametrize(
    ("body", "operator"),
    [
        (lambda x: x.max().item(), "aten._local_scalar_dense.default"),
        (lambda x: x.nonzero(), "aten.nonzero.default"),
        (lambda x: torch.ops.lora_plan_tests.of_a_library(x), "lora_plan_tests.of_a_library.default"),
        (in_python, "lora_plan_tests::in_python"),
    ],
    ids=["reads a value", "shape depends on values", "no fake kernel", "no fake kernel, in Python"],
)
def test_an_operator_that_needs_data_is_named_with_its_module(body: Callable[..., Any], operator: str) -> None:
    said = failing(body)
    assert operator in said
    assert "model.layers.7.mlp.gate (forward)" in said
    assert said.endswith("plan it without simulating")
    assert ("cannot run on tensors without data" in said) is (body is not in_python)


def test_any_other_error_is_said_with_its_first_line() -> None:
    said = failing(lambda x: x @ x[:2])
    assert said.startswith("the training stack fails in model.layers.7.mlp.gate (forward) (RuntimeError: ")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ((Window(LOAD), "mlp"), "in loading"),
        ((Window(HEAD), "lm_head"), "in lm_head (head)"),
        ((Window(FORWARD, 0), ""), "in model.layers.0 (forward)"),
        ((Window(LOSS_BACKWARD), ""), "in the model (loss backward)"),
    ],
    ids=["loading", "head", "layer", "backward"],
)
def test_where_it_happened(where: tuple[Window, str], words: str) -> None:
    assert words in failing(lambda x: x @ x[:2], where=where)


@pytest.mark.parametrize(
    ("fields", "way_out"),
    [
        ({"attention": "flash_attention_2"}, "attention sdpa"),
        ({"kernels": "liger"}, "kernels hf"),
        ({"method": "qlora"}, "quantization none"),
    ],
    ids=str,
)
def test_the_nearest_setting_is_named(fields: dict[str, Any], way_out: str) -> None:
    run = TrainingRun(model="llama-3.1-8b", **fields)
    assert failing(lambda x: x @ x[:2], run).endswith(f"; try it with {way_out}, or plan it without simulating")


@pytest.mark.parametrize("error", [InputError("this is wrong"), Abstention("not known")])
def test_what_is_a_sentence_already_is_left_alone(error: Exception) -> None:
    tracker = Tracker()
    with pytest.raises(type(error)) as caught, explained(tracker, RUN, "model.layers"):
        raise error
    assert caught.value is error

"""The work that a tape counts: by hand, beside the operators of a real step, and beside a published profile."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import peft
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from planner.architecture.modules import Architecture
from planner.plan import resolve
from planner.run import TrainingRun
from planner.tape import TOKENS, Tape, layers, ops
from planner.tape.size import Size
from planner.tape.work import MATRIX, Meter, Product, Work, together
from planner.time.step import work_profile
from tests.support.families import architecture_of, model_of

B, S = 2, 48


def linear_work(*, trained: bool) -> tuple[Work, Work]:
    """The work of y = silu(x W), forward and backward; W is 16 x 8, elements have 4 bytes."""
    tape = Tape()
    x = tape.input(TOKENS, 8, "float32", requires_grad=True)
    tape.meter.read()
    y = ops.saves_input(layers.linear(x, tape.parameter("w", 16, 8, "float32", requires_grad=trained)), "silu")
    forward, node, shape = tape.meter.read(), y.node, ops.meta(y)
    del x, y
    gradient = [tape.new(*shape, "gradient of y")]
    tape.meter.read()
    tape.backward(node, 0, gradient)
    return forward, tape.meter.read()


def test_a_linear_layer_and_an_activation_by_hand() -> None:
    forward, backward = linear_work(trained=True)
    [(product, count)] = forward.products
    assert count == 1
    assert (product.kind, product.dtype) == (MATRIX, "float32")
    assert product.flops.at(2, 5) == 2 * 10 * 8 * 16
    assert product.moved.at(2, 5) == 4 * (10 * 8 + 8 * 16 + 10 * 16)
    assert forward.written == ((Size(tokens=4 * 16), 1),)  # silu's result; the product's own is in `moved`
    assert forward.kernels == 2
    # gradients of the activation, of the input and of the weight
    assert backward.kernels == 3
    assert [(item.flops.at(2, 5), times) for item, times in backward.products] == [(2 * 10 * 8 * 16, 2)]


def test_a_frozen_layer_has_one_product_less_in_its_backward_pass() -> None:
    _, backward = linear_work(trained=False)
    assert sum(count for _, count in backward.products) == 1
    assert backward.kernels == 2


def test_a_product_fills_the_buffer_made_before_it() -> None:
    meter, size = Meter(), Size(constant=64)
    product = Product(MATRIX, Size(constant=8), Size(constant=96), "bfloat16")
    meter.wrote(size)
    meter.product(product)
    meter.wrote(size)
    meter.product(product, filled=False)
    assert meter.read() == Work(products=((product, 2),), written=((size, 1),), kernels=3)
    assert meter.read() == Work()


def test_expanded_weights_are_counted_apart() -> None:
    meter = Meter()
    meter.wrote(Size(constant=64), dequantized=True)
    meter.wrote(Size(constant=2))
    assert meter.read() == Work(written=((Size(constant=2), 1),), dequantized=Size(constant=64), kernels=2)


def test_what_is_beyond_a_place_is_forgotten() -> None:
    meter = Meter()
    meter.wrote(Size(constant=1))
    place = meter.place
    meter.wrote(Size(constant=2))
    assert meter.read(place) == Work(written=((Size(constant=1), 1),), kernels=1)
    assert meter.place == 0


def test_pieces_of_work_together() -> None:
    product = Product(MATRIX, Size(tokens=8), Size(tokens=4), "bfloat16")
    piece = Work(((product, 2),), ((Size(tokens=3), 1),), Size(constant=5), 4)
    assert together([(piece, 3), (piece, 1)]) == Work(((product, 8),), ((Size(tokens=3), 4),), Size(constant=20), 16)
    assert together([]) == Work()


class Kernels(TorchDispatchMode):
    """Counts operators that write: those with a result in memory of its own, or in place."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        made = {t.untyped_storage()._cdata for t in tree_leaves(out) if isinstance(t, torch.Tensor)}
        self.count += func._schema.is_mutable or bool(made - given)
        return out


def counted(architecture: Architecture, run: TrainingRun) -> int:
    profile = work_profile(architecture, run)
    head = profile.step.head.work
    works = (profile.work.forward, profile.work.recompute, profile.work.backward, head.forward, head.backward)
    return sum(work.kernels for work in works)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "falcon", "opt"])
def test_kernels_are_about_the_operators_of_a_real_step(family: str, method: str) -> None:
    """A tape has a kernel for every buffer and in-place operation that it knows of; a real step has more (positions,
    masks, gradients of slices and sums, numbers of the loss), and composite CPU operators that are one or several on
    a card. Within 20 %, of 250 to 800.
    """
    config = import_module(f"tests.planner.architecture.families.test_{family}").TINY
    adapter = {"rank": 4, "target_modules": "all-linear", "adapter_dtype": "bfloat16"} if method == "lora" else {}
    run = TrainingRun(
        model="tiny",
        method=method,
        base_dtype="bfloat16",
        mixed_precision="no",
        attention="eager",
        gradient_checkpointing=False,
        packing=True,
        micro_batch_size=B,
        sequence_length=S,
        **adapter,
    )
    model = model_of(config, attention="eager", dtype="bfloat16")
    model.config.use_cache = False
    if method == "lora":
        lora = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, lora, autocast_adapter_dtype=False)
    ids = torch.randint(0, 8, (B, S))
    with Kernels() as kernels:
        model(input_ids=ids, labels=ids).loss.backward()
    assert counted(architecture_of(config), run) == pytest.approx(kernels.count, rel=0.2)


def test_a_published_count_of_kernels() -> None:
    """12,268 kernels in a micro-batch of QLoRA on Llama-3-8B, by the profile that the l40s rows of
    profiler/corpus/speeds.csv are from. The tapes know those that write a buffer: a sixth less. A launch's
    microseconds are fitted on the tapes' count, so that this share is in them."""
    model = "meta-llama/Meta-Llama-3-8B-Instruct"
    run = TrainingRun(
        model=model,
        method="qlora",
        rank=16,
        dropout=0.05,
        target_modules="all-linear",
        adapter_dtype="bfloat16",
        prepare_kbit=False,
        optimizer="adamw_torch_fused",
        sequence_length=163,
        trainer="trl",
        transformers_version="5.17.0",
    )
    assert 0.82 < counted(resolve(model)[1], run) / 12_268 < 0.9

"""Operators as a real run has them, against PyTorch's own count of real operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from profiler.simulate.device import backend, kernels
from tests.support.live_bytes import LiveBytes

Tensor = torch.Tensor


class Operators(TorchDispatchMode):
    """Runs what `kernels.answer` gives, and counts the operators that it left to fake tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = kernels.answer(func, args)
        if out is not NotImplemented:
            return out
        name = func.overloadpacket.__name__
        self.count[name] = self.count.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def residual(x: Tensor, weights: list[Tensor]) -> Tensor:
    for weight in weights:
        x = x + F.silu(x @ weight)
    q, k, v = (x @ weight for weight in weights)
    return (q * k * v).sum()


def shared(x: Tensor, weights: list[Tensor]) -> Tensor:
    """The gradient of a sum goes to both terms: the same tensor, twice."""
    y = x @ weights[0]
    return (y + (y + (y @ weights[1]))).sum()


def expanded(x: Tensor, weights: list[Tensor]) -> Tensor:
    y = x @ weights[0]
    return y.sum() + y.sum() + (y * 2).sum()


def viewed(x: Tensor, weights: list[Tensor]) -> Tensor:
    y = (x @ weights[0]).view(2, -1)
    return (y.transpose(0, 1) @ y).sum() + y.view(-1)[:8].sum()


def written(x: Tensor, weights: list[Tensor]) -> Tensor:
    """A backward in Python adds tensors of its own, and never in place."""
    return (Gelu.apply(x @ weights[0]) + x @ weights[1]).sum()


class Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.tanh()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.sin() + x.cos())


def gathered(x: Tensor, weights: list[Tensor]) -> Tensor:
    return weights[0][torch.arange(4, device=x.device)].sum() + (x @ weights[1]).sum()


@pytest.mark.parametrize("net", [residual, shared, expanded, viewed, written, gathered])
def test_gradients_are_added_in_place_where_a_real_run_adds_them_so(net: Callable[..., Tensor]) -> None:
    backend.register()  # before the first backward of the process: autograd counts its devices once

    def loss(device: str) -> Tensor:
        weights = [torch.empty(8, 8, device=device, requires_grad=True) for _ in range(3)]
        return net(torch.empty(4, 8, device=device, requires_grad=True), weights)

    real = loss("cpu")
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        real.backward()
    events: Any = recorded.events()
    # `add_` and others call themselves by way of `add.out`; operators that others call are not counted
    names = [event.name.removeprefix("aten::") for event in events if event.name.startswith("aten::")]
    with kernels.as_on_cuda(), FakeTensorMode():
        fake = loss("sim")
        with Operators() as seen:
            fake.backward()
    for name in ("add", "index_put"):
        assert seen.count.get(name, 0) == names.count(name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_softmax_of_float16_is_cast_by_its_kernel_and_no_other(dtype: torch.dtype) -> None:
    backend.register()
    with kernels.as_on_cuda(), FakeTensorMode():
        x = torch.empty(64, 64, dtype=dtype, device="sim", requires_grad=True)
        with LiveBytes([x]) as live:
            y = F.softmax(x, -1, dtype=torch.float32)
            z = F.log_softmax(x, -1, dtype=torch.float32)
            assert live.peak == (2 if dtype == torch.float16 else 3) * 64 * 64 * 4
            (y + z).sum().backward()
        assert y.dtype == torch.float32
        assert x.grad is not None and x.grad.dtype == dtype


@pytest.mark.parametrize(
    ("tokens", "scratch"),
    [
        (3072, 0),
        # sorted and original indices, segment offsets; two counts and the partial offsets; float32 partial sums
        (5000, 8 * (3 * 5000 + 2 * 1000 + 1500) + 4 * 1500 * 64),
    ],
)
def test_gradient_of_an_embedding(tokens: int, scratch: int) -> None:
    """`EmbeddingBackwardKernel.cu` by hand: 1000 words of width 64, so 5000/10 + 1000 pieces at most."""
    backend.register()
    with kernels.as_on_cuda(), FakeTensorMode():
        weight = torch.empty(1000, 64, dtype=torch.bfloat16, device="sim", requires_grad=True)
        ids = torch.empty(1, tokens, dtype=torch.long, device="sim")
        out = F.embedding(ids, weight)
        gradient = torch.empty_like(out)
        with LiveBytes([weight, ids, out, gradient]) as live:
            out.backward(gradient)
    assert live.peak == 1000 * 64 * 2 + scratch


def test_tensors_are_made_of_numbers_on_the_device() -> None:
    backend.register()
    with kernels.as_on_cuda(), FakeTensorMode():
        assert torch.tensor(1.0, device="sim").device.type == "sim"
        assert torch.empty(4, 4, device="sim")[[-1]].shape == (1, 4)


def test_native_layer_norm_keeps_its_statistics_in_float32() -> None:
    """`layer_norm_kernel.cu`; the CPU keeps them in the input's dtype."""
    backend.register()
    with FakeTensorMode():
        x = torch.empty(4, 8, dtype=torch.bfloat16, device="sim")
        _, mean, rstd = torch.native_layer_norm(x, [8], None, None, 1e-5)
        assert mean.dtype == rstd.dtype == torch.float32


def test_dropout_keeps_a_boolean_mask() -> None:
    backend.register()
    with FakeTensorMode():
        x = torch.empty(64, 64, dtype=torch.bfloat16, device="sim", requires_grad=True)
        with LiveBytes([x]) as live:
            out = F.dropout(x, 0.1)
    assert live.now == 64 * 64 * (2 + 1)
    assert out.dtype == x.dtype

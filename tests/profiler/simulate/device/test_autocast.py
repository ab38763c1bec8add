"""CUDA's autocast on the simulated device; where the CPU has the same policy, against PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from planner.errors import InputError
from profiler.simulate.device import autocast, backend

Tensor = torch.Tensor


class Casts(TorchDispatchMode):
    """Counts the casts that run in it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._to_copy.default
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def on_sim() -> Iterator[None]:
    backend.register()
    with autocast.as_on_cuda():
        yield


# CUDA's column of https://docs.pytorch.org/docs/stable/amp.html#cuda-op-specific-behavior
CUDA: list[tuple[Callable[[Tensor], Tensor], torch.dtype]] = [
    (lambda x: x @ x, torch.bfloat16),
    (lambda x: F.linear(x, x), torch.bfloat16),
    (lambda x: torch.einsum("ij,kj->ik", x, x), torch.bfloat16),
    (lambda x: F.layer_norm(x, (8,)), torch.float32),
    (lambda x: F.rms_norm(x, (8,)), torch.float32),
    (lambda x: x.softmax(-1), torch.float32),
    (lambda x: x.log_softmax(-1), torch.float32),
    (lambda x: x.softmax(-1, dtype=torch.bfloat16), torch.bfloat16),
    (lambda x: x.pow(2), torch.float32),
    (lambda x: x.rsqrt(), torch.float32),
    (lambda x: x.sum(), torch.float32),
    (lambda x: x.norm(), torch.float32),
    (lambda x: x.norm(dim=1), torch.float32),
    (lambda x: F.cross_entropy(x, x.long()[0]), torch.float32),
    (lambda x: F.gelu(x), torch.bfloat16),
    (lambda x: F.silu(x), torch.bfloat16),
    (lambda x: x + x.float(), torch.float32),
    (lambda x: torch.addcmul(x, x.float(), x), torch.float32),
]
"""Operators on a bfloat16 tensor, and what they give."""


@pytest.mark.parametrize(("run", "dtype"), CUDA)
def test_what_an_operator_gives_for_a_bfloat16_input(run: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    with FakeTensorMode(), torch.autocast("sim", torch.bfloat16):
        assert run(torch.empty(8, 8, dtype=torch.bfloat16, device="sim")).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_float32_input_is_multiplied_in_the_dtype_of_autocast(dtype: torch.dtype) -> None:
    with FakeTensorMode(), torch.autocast("sim", dtype):
        x = torch.empty(4, 4, device="sim")
        assert F.linear(x, x).dtype == dtype
        assert (x.double() @ x.double()).dtype == torch.float64
        with torch.autocast("sim", enabled=False):
            assert (x @ x).dtype == torch.float32


def twice(device: str, weight: Tensor) -> None:
    x = torch.empty(4, 8, dtype=torch.bfloat16, device=device)
    F.linear(x, weight)
    F.linear(x, weight)


def without_gradients_first(device: str, weight: Tensor) -> None:
    with torch.no_grad():
        twice(device, weight)
    twice(device, weight)


def nested(device: str, weight: Tensor) -> None:
    with torch.autocast(device, torch.bfloat16):
        twice(device, weight)
    twice(device, weight)


def uncached(device: str, weight: Tensor) -> None:
    with torch.autocast(device, torch.bfloat16, cache_enabled=False):
        twice(device, weight)


def two_contexts(device: str, weight: Tensor) -> None:
    twice(device, weight)
    torch.clear_autocast_cache()
    twice(device, weight)


@pytest.mark.parametrize(
    ("weight", "casts"),
    [
        (lambda w: w, 2),
        (lambda w: w.requires_grad_(), 1),
        (lambda w: w.requires_grad_()[:4], 2),
        (lambda w: w.bfloat16().requires_grad_(), 0),
    ],
    ids=["frozen", "trained", "view", "bfloat16"],
)
@pytest.mark.parametrize("run", [twice, without_gradients_first, nested, uncached, two_contexts])
def test_weights_are_cast_as_often_as_by_pytorch_itself(
    run: Callable[[str, Tensor], None], weight: Callable[[Tensor], Tensor], casts: int
) -> None:
    def count(device: str) -> int:
        prepared = weight(torch.empty(8, 8, device=device))
        with torch.autocast(device, torch.bfloat16), Casts() as seen:
            run(device, prepared)
        return seen.count

    real = count("cpu")
    with FakeTensorMode():
        assert count("sim") == real
    if run is twice:
        assert real == casts


def test_casts_of_weights_are_freed_where_autocast_ends() -> None:
    with FakeTensorMode():
        weight = torch.empty(8, 8, device="sim", requires_grad=True)
        with torch.autocast("sim", torch.bfloat16):
            twice("sim", weight)
            assert autocast._cache
        assert not autocast._cache


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_layer_is_run_again_under_autocast(reentrant: bool) -> None:
    seen: list[torch.dtype] = []

    def layer(x: Tensor) -> Tensor:
        y = F.linear(x, weight)
        seen.append(y.dtype)
        return y.tanh()

    with FakeTensorMode():
        weight = torch.empty(8, 8, device="sim", requires_grad=True)
        x = torch.empty(8, 8, device="sim", requires_grad=True)
        with torch.autocast("sim", torch.bfloat16):
            y = checkpoint(layer, x, use_reentrant=reentrant)
        assert isinstance(y, torch.Tensor)
        y.sum().backward()
        assert weight.grad is not None and weight.grad.dtype == torch.float32
    assert seen == [torch.bfloat16, torch.bfloat16]


def test_without_the_header_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(autocast, "_HEADER", tmp_path / "autocast_mode.h")
    with pytest.raises(InputError, match="install torch from a wheel"):
        autocast.operator_lists()
    (tmp_path / "autocast_mode.h").write_text("#define AT_FORALL_FP32(_) \\\n  _(exp)\n")
    with pytest.raises(InputError, match=r"install torch 2\.13"):
        autocast.operator_lists()


# the same on the CPU, for a while


def on_the_cpu(run: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return run(torch.linspace(0.1, 1.0, 64).view(8, 8).bfloat16())


def of_the_cpu_alone(x: Tensor) -> Tensor:
    """In the list of its float32, and in none of CUDA's."""
    return F.pad(x[None], (1, 1), "reflect")


def test_the_cpu_casts_as_cuda_within_and_as_before_afterwards() -> None:
    runs = [*(run for run, _ in CUDA), of_the_cpu_alone]
    before = [on_the_cpu(run).dtype for run in runs]
    expected = [*(dtype for _, dtype in CUDA), torch.bfloat16]
    assert before != expected
    for _ in range(2):
        with autocast.on_cpu():
            assert [on_the_cpu(run).dtype for run in runs] == expected
        assert [on_the_cpu(run).dtype for run in runs] == before


def test_the_cpu_has_its_own_casts_again_after_an_error() -> None:
    with pytest.raises(RuntimeError, match="cannot be multiplied"), autocast.on_cpu():
        on_the_cpu(lambda x: x @ x[1:])
    assert on_the_cpu(lambda x: F.layer_norm(x, (8,))).dtype == torch.bfloat16
    assert not autocast._cache


@pytest.mark.parametrize("run", [twice, without_gradients_first, nested, uncached, two_contexts])
def test_weights_are_cast_on_the_cpu_as_often_as_before(run: Callable[[str, Tensor], None]) -> None:
    def count() -> int:
        weight = torch.empty(8, 8, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16), Casts() as seen:
            run("cpu", weight)
        return seen.count

    own = count()
    with autocast.on_cpu():
        assert count() == own
        assert not autocast._cache


def test_a_step_under_cudas_casts_computes_the_same() -> None:
    """Norms and losses in float32 rather than bfloat16: nearer to a step that casts nothing."""
    x, weight = torch.randn(16, 32), torch.randn(32, 32)

    def gradient() -> Tensor:
        trained = weight.clone().requires_grad_()
        F.cross_entropy(F.layer_norm(F.linear(x, trained), (32,)), torch.arange(16)).backward()
        assert trained.grad is not None and trained.grad.dtype == torch.float32
        return trained.grad

    exact = gradient()
    with autocast.on_cpu(), torch.autocast("cpu", torch.bfloat16):
        cast = gradient()
    torch.testing.assert_close(cast, exact, atol=2e-3, rtol=0.1)
    assert not torch.equal(cast, exact)

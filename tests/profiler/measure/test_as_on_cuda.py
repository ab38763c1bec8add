"""What the CPU does within `as_on_cuda`, and that it does it no longer afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import bitsandbytes
import pytest
import torch
import torch.nn.functional as F

from planner.run import TrainingRun
from profiler.measure.as_on_cuda import as_on_cuda
from tests.profiler.measure.small import SCHEMES, built, quiet, run_of

Saved = list[torch.Tensor]
PLAIN = TrainingRun(model="tiny", mixed_precision="no")
BF16 = TrainingRun(model="tiny", mixed_precision="bf16")


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def saved_by(run: Callable[[], Any]) -> Saved:
    """What autograd keeps of an operator."""
    found: Saved = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_a_boolean_mask(dtype: torch.dtype) -> None:
    x = torch.ones(100, 100, dtype=dtype, requires_grad=True)
    for run in (lambda: F.dropout(x, 0.25), lambda: torch.nn.Dropout(0.25)(x)):
        with as_on_cuda(PLAIN):
            [mask] = saved_by(run)
            out = run()
        assert mask.dtype == torch.bool and mask.shape == x.shape
        assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75, dtype=dtype).item()}
        assert 0.7 < (out != 0).float().mean() < 0.8
        [own] = saved_by(run)
        assert own.dtype == dtype


def test_gradients_of_dropout_are_scaled_where_it_let_pass() -> None:
    x = torch.ones(1000, requires_grad=True)
    with as_on_cuda(PLAIN):
        out = F.dropout(x, 0.5)
        out.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, out)
    assert set(x.grad.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True)])
def test_dropout_that_drops_nothing_makes_nothing(p: float, training: bool) -> None:
    x = torch.ones(4, requires_grad=True)
    with as_on_cuda(PLAIN):
        assert F.dropout(x, p, training) is x


def test_attention_gives_what_it_gave_and_lies_token_by_token() -> None:
    query, key, value = (torch.randn(2, 4, 8, 16) for _ in range(3))
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    with as_on_cuda(PLAIN):
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(out, expected)
    assert out.transpose(1, 2).is_contiguous()


def test_peft_is_told_of_the_cpus_autocast() -> None:
    with torch.autocast("cpu", torch.float16):
        assert not torch.is_autocast_enabled()
        with as_on_cuda(BF16):
            assert torch.is_autocast_enabled() and torch.is_autocast_enabled("cuda")
            assert torch.get_autocast_gpu_dtype() == torch.get_autocast_dtype("cuda") == torch.float16
    with as_on_cuda(BF16):
        assert not torch.is_autocast_enabled()


def test_norms_are_in_float32_under_autocast_as_on_cuda() -> None:
    """CUDA's column of https://docs.pytorch.org/docs/stable/amp.html has layer_norm among those in float32."""
    x = torch.randn(4, 8, dtype=torch.bfloat16)
    with as_on_cuda(BF16), torch.autocast("cpu", torch.bfloat16):
        assert F.layer_norm(x, (8,)).dtype == torch.float32
        assert (x.float() @ x.float().T).dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        assert F.layer_norm(x, (8,)).dtype == torch.bfloat16


PATCHED = {
    "dropout": lambda: F.dropout,
    "attention": lambda: F.scaled_dot_product_attention,
    "is_autocast_enabled": lambda: torch.is_autocast_enabled,
    "get_autocast_dtype": lambda: torch.get_autocast_dtype,
    "get_autocast_gpu_dtype": lambda: torch.get_autocast_gpu_dtype,
    "clear_autocast_cache": lambda: torch.clear_autocast_cache,
    "int8": lambda: bitsandbytes.matmul,
    "4 bits": lambda: bitsandbytes.nn.modules.has_avx512bf16,
}


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("scheme", ["none", "nf4", "int8"])
def test_everything_is_put_back(scheme: str, fails: bool) -> None:
    before = {name: found() for name, found in PATCHED.items()}
    run = TrainingRun(model="tiny", mixed_precision="bf16", quantization=scheme)
    try:
        with as_on_cuda(run):
            changed = {name for name, found in PATCHED.items() if found() is not before[name]}
            if fails:
                raise ValueError
    except ValueError:
        pass
    own = {"int8": {"int8"}, "nf4": {"4 bits"}, "none": set[str]()}[scheme]
    assert changed == PATCHED.keys() - {"int8", "4 bits"} | own
    assert {name: found() for name, found in PATCHED.items()} == before


def test_int8_quantizes_the_input() -> None:
    """`MatMul8bitLt` on CUDA multiplies integers; the CPU's way in training expands the weight and is exact."""
    layer = bitsandbytes.nn.Linear8bitLt(64, 32, bias=False, has_fp16_weights=False, threshold=6.0)
    weight = torch.randn(32, 64)
    layer.weight = bitsandbytes.nn.Int8Params(weight, requires_grad=False).to("cpu")
    layer.train()
    x = torch.randn(4, 64, dtype=torch.bfloat16, requires_grad=True)
    run = TrainingRun(model="tiny", mixed_precision="no", quantization="int8")
    with as_on_cuda(run):
        kept = saved_by(lambda: layer(x))
        out = layer(x)
        out.sum().backward()
    assert not any(tensor.shape == weight.shape and tensor.dtype == torch.bfloat16 for tensor in kept)
    torch.testing.assert_close(out.float(), (x.float() @ weight.T), atol=0.5, rtol=0.1)
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_evaluates_trains_on(scheme: str) -> None:
    """bitsandbytes packs 4-bit weights anew where a layer evaluates on a CPU with AVX-512, and no gradient passes."""
    run = run_of(rank=4, **SCHEMES[scheme])
    with as_on_cuda(run):
        model = built(run).model
        weights = {name: x.data.clone() for name, x in model.named_parameters() if "base_layer" in name}
        tokens = torch.arange(4).view(1, 4)
        model.eval()
        with torch.no_grad():
            model(input_ids=tokens)
        model.train()
        model(input_ids=tokens, labels=tokens).loss.backward()
    assert all(torch.equal(x, weights[name]) for name, x in model.named_parameters() if name in weights)
    first = [x.grad for name, x in model.named_parameters() if "layers.0" in name and "lora_B" in name]
    assert len(first) == 7 and all(gradient is not None and gradient.any() for gradient in first)

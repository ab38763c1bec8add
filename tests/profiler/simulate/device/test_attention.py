"""Attention kernels of the simulated device: which one runs, what it keeps and what it takes for a moment.

Sizes are by hand, from `mha_bwd` (`flash_api.cpp`) and `kernel_backward.h`; the math kernel is run on the CPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from profiler.simulate.device import attention, backend
from tests.support.live_bytes import LiveBytes

B, S = 2, 256
BF16, FP32 = torch.bfloat16, torch.float32
Tensor = torch.Tensor


def heads(number: int, width: int, dtype: torch.dtype = BF16, *, rows: int = S, device: str = "sim") -> Tensor:
    """A projection's heads: [B, number, rows, width] over memory in which the tokens come first."""
    x = (
        torch.randn(B, rows, number, width, device=device).to(dtype)
        if device == "cpu"
        else torch.empty(B, rows, number, width, dtype=dtype, device=device)
    )
    return x.transpose(1, 2).requires_grad_()


def measured(
    width: int,
    *,
    value_width: int | None = None,
    key_heads: int = 8,
    dtype: torch.dtype = BF16,
    rows: int = S,
    mask: bool = False,
    capability: attention.Capability = attention.AMPERE,
    **options: Any,
) -> tuple[int, int, int]:
    """Bytes kept by the forward pass, and the most there are in it and in the backward pass beside the inputs."""
    backend.register()
    with attention.as_on_cuda(capability), FakeTensorMode():
        q, k = heads(8, width, dtype, rows=rows), heads(key_heads, width, dtype, rows=rows)
        v = heads(key_heads, value_width or width, dtype, rows=rows)
        bias = torch.empty(B, 1, rows, rows, dtype=torch.bool, device="sim") if mask else None
        with LiveBytes([x for x in (q, k, v, bias) if x is not None]) as forward:
            out = F.scaled_dot_product_attention(
                q, k, v, attn_mask=bias, is_causal=not mask, enable_gqa=key_heads != 8, **options
            )
        kept = forward.now
        gradient = torch.empty(B, rows, 8, value_width or width, dtype=dtype, device="sim").transpose(1, 2)
        with LiveBytes([q, k, v, out, gradient]) as backward:
            out.backward(gradient)
    return kept, forward.peak, backward.peak


OUT = B * S * 8 * 2
"""Bytes of a 16-bit output for each column of a head."""
ROWS = B * S * 8 * 4
"""Bytes of one float32 number per token and head."""
SEEDS = 8 + 16
"""The random state of a kernel: one or two 8-byte numbers, and an offset."""


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("width", [32, 64, 96, 128, 256])
def test_flash_keeps_its_output_and_a_number_per_row(width: int, dropout: float) -> None:
    kept, peak, backward = measured(width, dropout_p=dropout)
    assert kept == peak == OUT * width + ROWS + SEEDS
    # the three gradients, the rows' sums and a float32 gradient of q
    assert backward == 3 * OUT * width + ROWS + ROWS * width


def test_flash_takes_the_gradients_of_every_head_before_it_sums_them() -> None:
    kept, _, backward = measured(64, key_heads=2)
    assert kept == OUT * 64 + ROWS + SEEDS
    assert backward == (1 + 2 / 4) * OUT * 64 + ROWS + ROWS * 64 + 2 * OUT * 64


def test_flash_works_on_blocks_of_128_rows_and_32_columns() -> None:
    _, _, backward = measured(80, rows=200)
    assert backward == 3 * B * 200 * 8 * 80 * 2 + B * 8 * 256 * 4 + B * 256 * 8 * 96 * 4


def test_heads_that_are_no_multiple_of_8_are_padded() -> None:
    kept, _, _ = measured(100)
    # q, k and v are padded to 104 columns, kept for the backward pass
    assert kept == 4 * OUT * 104 + ROWS + SEEDS


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_efficient_keeps_an_additive_mask_of_its_own(dropout: float) -> None:
    kept, _, backward = measured(64, mask=True, dropout_p=dropout)
    assert kept == OUT * 64 + ROWS + 16 + B * S * S * 2
    # blocks of 64 x 64 with a header of 16 bytes
    assert backward == 3 * OUT * 64 + ROWS + B * 8 * (S // 64) * (64 * 64 + 4) * 4


def test_rows_of_a_mask_start_at_multiples_of_8() -> None:
    kept, peak, _ = measured(64, mask=True, rows=250)
    padded = B * 250 * 256 * 2
    rows = B * 8 * 256 * 4  # of whole warps of 32 rows
    assert kept == B * 250 * 8 * 64 * 2 + rows + 16 + padded
    assert peak == max(kept, padded + B * 250 * 250 * 2)


@pytest.mark.parametrize(
    ("width", "value_width", "dtype", "capability", "elements"),
    [
        (128, 128, BF16, (8, 0), 2 * (128 * 128 + 4)),
        (80, 80, BF16, (8, 0), 2 * (128 * 128 + 4)),
        # a block of an RTX 4090 has too little memory for 128 x 128: gradients of k and v are staged, 4 blocks
        (128, 128, BF16, (8, 9), 8 * (64 * 64 + 4) + 4 * 64 * 256),
        (192, 128, BF16, (8, 0), 2 * 3 * (128 * 64 + 4) + 4 * 64 * (256 + 128)),
        (64, 64, FP32, (8, 0), 4 * (64 * 64 + 4)),
        # from 65 columns on the float32 kernel works on 128 rows
        (128, 128, FP32, (8, 0), 2 * 2 * (128 * 64 + 4)),
    ],
)
def test_workspace_of_efficient_attention(
    width: int, value_width: int, dtype: torch.dtype, capability: attention.Capability, elements: int
) -> None:
    with attention.as_on_cuda(capability):
        assert attention.efficient_workspace(B, 8, S, S, width, value_width, dtype) == B * 8 * elements * 4


def test_wide_values_are_accumulated_in_float32() -> None:
    kept, peak, _ = measured(512)
    assert kept == OUT * 512 + ROWS + 16
    assert peak == kept + ROWS * 512


def test_float32_multiplies_gradient_and_output_outside_the_kernel() -> None:
    _, _, backward = measured(64, dtype=FP32)
    gradients = 3 * ROWS * 64
    assert backward == gradients + max(ROWS * 64 + ROWS, ROWS + B * 8 * (S // 64) * (64 * 64 + 4) * 4)


@pytest.mark.parametrize(
    ("kernel", "shape", "options"),
    [
        ("flash", (8, 64, 64), {}),
        ("flash", (2, 64, 64), {"gqa": True}),
        ("flash", (8, 256, 256), {}),
        ("efficient", (8, 264, 264), {}),
        ("efficient", (8, 64, 64), {"dtype": FP32}),
        ("efficient", (8, 64, 64), {"mask": True}),
        ("efficient", (8, 192, 128), {}),
        ("efficient", (8, 64, 64), {"capability": (7, 5), "dtype": torch.float16}),
        ("efficient", (8, 224, 224), {"capability": (8, 9)}),
        ("flash", (8, 256, 256), {"capability": (8, 9)}),
        ("math", (2, 64, 64), {"gqa": True, "mask": True}),
        ("math", (2, 64, 64), {}),
        ("math", (8, 100, 100), {"mask": True}),
        ("math", (8, 64, 64), {"dtype": torch.float64}),
        ("math", (8, 64, 64), {"capability": (7, 5)}),
    ],
)
def test_which_kernel_runs(kernel: str, shape: tuple[int, int, int], options: dict[str, Any]) -> None:
    backend.register()
    key_heads, width, value_width = shape
    dtype = options.get("dtype", BF16)
    with attention.as_on_cuda(options.get("capability", attention.AMPERE)), FakeTensorMode():
        q, k, v = heads(8, width, dtype), heads(key_heads, width, dtype), heads(key_heads, value_width, dtype)
        mask = torch.empty(B, 1, S, S, dtype=torch.bool, device="sim") if options.get("mask") else None
        chosen = attention.choose_kernel(q, k, v, mask, 0.0, mask is None, enable_gqa=options.get("gqa", False))
    assert chosen == kernel


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("masked", ["causal", "boolean", "additive"])
@pytest.mark.parametrize("dtype", [BF16, FP32])
def test_math_is_pytorchs_own_to_the_bit(dtype: torch.dtype, masked: str, grouped: bool) -> None:
    q, k, v = (
        heads(8, 16, dtype, rows=12, device="cpu"),
        *(heads(2 if grouped else 8, 16, dtype, rows=12, device="cpu") for _ in range(2)),
    )
    allowed = torch.rand(B, 1, 12, 12) > 0.3
    mask = {"causal": None, "boolean": allowed, "additive": allowed.to(dtype)}[masked]
    kept: list[int] = []

    def keep(x: Tensor) -> Tensor:
        kept[-1] += x.untyped_storage().nbytes()
        return x

    def bytes_kept(run: Any) -> Tensor:
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            return run()

    with sdpa_kernel(SDPBackend.MATH):
        real = bytes_kept(
            lambda: F.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=grouped)
        )
    own = bytes_kept(
        lambda: attention._math(q, k, v, attention._additive(mask, dtype), 0.0, mask is None, None, grouped)
    )
    torch.testing.assert_close(own, real, rtol=0, atol=0)
    assert kept[0] == kept[1]


@pytest.mark.parametrize("key_heads", [2, 8])
def test_functions_of_the_flash_attn_package(key_heads: int) -> None:
    backend.register()
    with attention.as_on_cuda(), FakeTensorMode():
        q, k, v = (torch.empty(B, S, n, 64, dtype=BF16, device="sim") for n in (8, key_heads, key_heads))
        for x in (q, k, v):
            x.requires_grad_()
        with LiveBytes([q, k, v]) as live:
            out = attention.flash_attn_func(q, k, v, causal=True)
            assert live.now == OUT * 64 + ROWS + SEEDS
        lengths = torch.empty(B + 1, dtype=torch.int32, device="sim")
        flat = [x.detach().flatten(0, 1).requires_grad_() for x in (q, k, v)]
        laid = attention.flash_attn_varlen_func(*flat, lengths, lengths, S, S, causal=True)
        assert laid.shape == (B * S, 8, 64)
        with LiveBytes([*flat, laid]) as backward:
            laid.backward(torch.empty_like(laid))
        # every sequence may run 128 rows over its end
        rows = 8 * (B * S + 128 * B) * 4
        scratch = rows + rows * 64 + (2 * OUT * 64 if key_heads == 2 else 0)
        gradients = OUT * 64 * (1 + 2 * key_heads / 8)
        assert backward.peak == OUT * 64 + gradients + scratch
        out.backward(torch.empty_like(out))

"""SDPA: the kernel that CUDA takes, and what each allocates, counted by hand from PyTorch's source."""

from __future__ import annotations

import pytest

from planner.tape import SCORES, TOKENS, Tape, Tensor, ops
from planner.tape.attention import Heads
from planner.tape.sdpa import Kernel, choose_kernel, scaled_dot_product_attention

BATCH, SEQUENCE = 2, 1024
ROWS = BATCH * SEQUENCE


@pytest.mark.parametrize(
    ("dtype", "heads", "masked", "enable_gqa", "kernel"),
    [
        ("bfloat16", Heads(32, 8, 128, 128), False, True, "flash"),
        ("bfloat16", Heads(32, 32, 100, 100), False, False, "flash"),
        ("bfloat16", Heads(8, 1, 256, 256), False, True, "flash"),
        ("float16", Heads(71, 1, 64, 64), False, False, "math"),
        ("bfloat16", Heads(32, 32, 128, 128), True, False, "efficient"),
        ("bfloat16", Heads(32, 32, 100, 100), True, False, "math"),
        ("bfloat16", Heads(128, 128, 192, 128), False, False, "efficient"),
        ("bfloat16", Heads(16, 16, 288, 288), False, False, "efficient"),
        ("float32", Heads(12, 12, 64, 64), False, False, "efficient"),
        ("float32", Heads(12, 12, 66, 66), False, False, "math"),
        ("float32", Heads(14, 2, 64, 64), False, True, "math"),
    ],
)
def test_the_kernel_of_cuda(dtype: str, heads: Heads, masked: bool, enable_gqa: bool, kernel: Kernel) -> None:
    assert choose_kernel(dtype, heads, masked=masked, enable_gqa=enable_gqa) == kernel


def backward_peak(dtype: str, heads: Heads, *, masked: bool = False, enable_gqa: bool = False) -> float:
    """Bytes of everything alive at the most in the backward pass, q, k and v apart."""
    tape = Tape(batch=BATCH, sequence=SEQUENCE)
    widths = (heads.heads * heads.head_dim, heads.kv_heads * heads.head_dim, heads.kv_heads * heads.value_dim)
    q, k, v = (tape.input(TOKENS, width, dtype, requires_grad=True) for width in widths)
    mask: Tensor | None = tape.new(SCORES, 1, "int8", "mask") if masked else None
    start = len(tape.events)
    out = scaled_dot_product_attention(q, k, v, heads, mask=mask, enable_gqa=enable_gqa)
    del mask
    node, shape = out.node, ops.meta(out)
    del out
    begin = len(tape.events)
    tape.backward(node, 0, [tape.new(*shape, "gradient")])
    ledgers = tape.peaks(start, len(tape.events), since=begin)
    return max(sum(size.at(BATCH, SEQUENCE) for size in ledger.values()) for ledger in ledgers)


def test_flash_backward_rounds_a_head_of_80_up_to_96_columns() -> None:
    """`mha_bwd`: head_size_rounded = round_multiple(80, 32), for the float32 accumulator of q alone."""
    saved = ROWS * 32 * 80 * 2 + ROWS * 32 * 4
    gradients = 4 * ROWS * 32 * 80 * 2
    scratch = ROWS * 32 * 4 + ROWS * 32 * 96 * 4
    assert backward_peak("bfloat16", Heads(32, 32, 80, 80)) == saved + gradients + scratch


def test_flash_backward_of_grouped_heads_has_the_gradients_of_every_head() -> None:
    saved = ROWS * 32 * 128 * 2 + ROWS * 32 * 4
    gradients = 2 * ROWS * 32 * 128 * 2 + 2 * ROWS * 8 * 128 * 2
    scratch = ROWS * 32 * 4 + ROWS * 32 * 128 * 4 + 2 * ROWS * 32 * 128 * 2
    assert backward_peak("bfloat16", Heads(32, 8, 128, 128), enable_gqa=True) == saved + gradients + scratch


def test_flash_attention_pads_a_head_of_100_to_104_columns() -> None:
    """The padded copies of q, k and v are saved, with the padded output; the gradient is padded again."""
    padded = ROWS * 32 * 104 * 2
    saved = 4 * padded + ROWS * 32 * 4
    scratch = ROWS * 32 * 4 + ROWS * 32 * 128 * 4
    assert backward_peak("bfloat16", Heads(32, 32, 100, 100)) == saved + 4 * padded + scratch


def test_efficient_backward_rounds_a_head_of_80_up_to_one_block_of_128_keys() -> None:
    """`workspace_size`: for each head and block of 128 rows, 128 x 128 floats and a counter of 4."""
    mask = BATCH * SEQUENCE**2 * 2
    saved = ROWS * 32 * 80 * 2 + ROWS * 32 * 4 + mask
    gradients = 4 * ROWS * 32 * 80 * 2
    workspace = BATCH * 32 * (SEQUENCE // 128) * (128 * 128 + 4) * 4
    rows = ROWS * 32 * 4
    assert backward_peak("bfloat16", Heads(32, 32, 80, 80), masked=True) == saved + gradients + workspace + rows


def test_efficient_backward_stages_wide_gradients_of_keys_and_values() -> None:
    """16 heads of 256: blocks of 128 rows and 64 keys, whose dk and dv do not fit in registers, 200 at a time."""
    mask = BATCH * SEQUENCE**2 * 2
    saved = ROWS * 16 * 256 * 2 + ROWS * 16 * 4 + mask
    gradients = 4 * ROWS * 16 * 256 * 2
    accumulators = BATCH * 16 * (SEQUENCE // 128) * 4 * (128 * 64 + 4) * 4
    staged = 200 * 64 * (256 + 256) * 4
    peak = saved + gradients + accumulators + staged + ROWS * 16 * 4
    assert backward_peak("bfloat16", Heads(16, 16, 256, 256), masked=True) == peak


def test_math_backward_has_three_attention_matrices_in_float32() -> None:
    """The weights, their gradient and that of the scores; scaled queries and keys, and the gradient of values."""
    matrix = BATCH * SEQUENCE**2 * 14 * 4
    assert backward_peak("float32", Heads(14, 2, 64, 64), enable_gqa=True) == 3 * matrix + 3 * ROWS * 14 * 64 * 4

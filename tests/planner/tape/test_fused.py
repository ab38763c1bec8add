"""Sizes of liger's fused loss, against its own rule and a published measurement."""

from __future__ import annotations

import pytest

from planner.tape import ONE, TOKENS, Tape
from planner.tape.fused import chunk_of_tokens, chunk_size, fused_linear_cross_entropy
from planner.tape.size import total


@pytest.mark.parametrize(
    ("tokens", "hidden", "vocabulary", "chunk"),
    [
        (4096, 4096, 128256, 128),  # 4096 / 32 = 128
        (2048, 5120, 248320, 64),  # 2048 / 49 = 42, the next power of two
        (4096 * 4, 4096, 32000, 2048),  # the example in liger's own comment
        (96, 64, 8, 96),  # one chunk, and never more than all tokens
        (1, 4096, 128256, 1),
    ],
)
def test_chunk(tokens: int, hidden: int, vocabulary: int, chunk: int) -> None:
    assert chunk_of_tokens(tokens, hidden, vocabulary) == chunk


def test_fused_loss_of_a_frozen_head_as_measured() -> None:
    # H200, torch 2.11, liger-kernel 0.8.4, BT 2048, V 248320, H 5120, bf16, no weight gradient: a peak of
    # 86,321,152 B, of which cuBLAS's workspace on Hopper is 32 MiB (a public changelog's measurement)
    tape = Tape()
    x = tape.input(TOKENS, 5120, "bfloat16", requires_grad=True)
    weight = tape.parameter("lm_head.weight", 248320, 5120, "bfloat16", requires_grad=False)
    start = len(tape.events)
    loss = fused_linear_cross_entropy(x, weight, chunk_size(2048, 5120, 248320))
    peak = max(total(ledger.values()).at(1, 2048) for ledger in tape.peaks(start, len(tape.events)))
    assert peak == pytest.approx(86_321_152 - 32 * 2**20, rel=1e-4)
    del x
    kept = total(tape.alive(start, len(tape.events)).values())
    assert kept.at(1, 2048) == 2048 * 5120 * 2 + 4
    assert loss.rows == ONE

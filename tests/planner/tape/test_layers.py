"""Layers that read parameters: the gradient of an embedding, counted by hand from CUDA's kernel."""

from __future__ import annotations

import pytest

from planner.tape import TOKENS, Tape, layers, ops


@pytest.mark.parametrize(
    ("tokens", "vocabulary", "scratch"),
    [
        # up to 3072 tokens one kernel writes the gradient
        (3070, 8000, 0),
        # 400 pieces of ten tokens and one for each of 4000 tokens, which may all differ; 4000 sorted indices and
        # their origins, their segments, and two numbers for each segment
        (4000, 8000, 4400 * 64 * 4 + (2 * 4000 + 4000 + 2 * 4000 + 4400) * 8),
        (4000, 500, 900 * 64 * 4 + (2 * 4000 + 4000 + 2 * 500 + 900) * 8),
    ],
)
def test_the_gradient_of_an_embedding(tokens: int, vocabulary: int, scratch: int) -> None:
    """`embedding_dense_backward_cuda`, of `tokens` indices into a bfloat16 table of width 64."""
    tape = Tape(batch=10, sequence=tokens // 10)
    out = layers.embedding(tape, tape.parameter("w", vocabulary, 64, "bfloat16", requires_grad=True), TOKENS)
    node, shape = out.node, ops.meta(out)
    del out
    begin = len(tape.events)
    tape.backward(node, 0, [tape.new(*shape, "gradient")])
    peak = max(
        sum(size.at(10, tokens // 10) for size in ledger.values()) for ledger in tape.peaks(begin, len(tape.events))
    )
    assert peak == pytest.approx(tokens * 64 * 2 + vocabulary * 64 * 2 + scratch)

"""What changes by itself with batch and sequence length, so that one polynomial does not hold for all of them."""

from __future__ import annotations

from planner.architecture.modules import Architecture
from planner.run import TrainingRun
from planner.tape.fused import chunk_size

Regime = tuple[bool, tuple[bool, ...], float]
"""Within one regime a run's ledgers are one set of polynomials."""


def regime_of(architecture: Architecture, run: TrainingRun, batch: int, sequence: int) -> Regime:
    """The regime of `batch` sequences of `sequence` tokens.

    Several sequences need a padding mask; sequences that reach the window of local attention need one as well; and
    liger's fused loss rounds its chunk up to a power of two.
    """
    reached = tuple(window is not None and sequence >= window for window in architecture.attention_windows)
    share = 0.0
    if run.kernels == "liger":
        share = chunk_size(batch * sequence, architecture.hidden_size, architecture.vocab_size).tokens
    return batch > 1, reached, share

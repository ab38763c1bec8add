"""What is said of the time of one training step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One line of a step's time."""

    name: str
    """Such as `matrix work`, `attention`, `dequantization`, `optimizer`."""
    seconds: float
    """Of one optimizer step, all micro-batches together."""
    text: str
    """What it was worked out from, with this run's numbers."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """The time of one optimizer step on every GPU of a run, in its steady state."""

    step_s: float
    """Seconds of one optimizer step: all micro-batches, the update, and what cannot overlap."""
    low_s: float
    high_s: float
    """The interval of `step_s`, which holds `coverage` of the runs."""
    coverage: float
    tokens: int
    """Positions of one step on all GPUs: micro-batch x accumulation x GPUs x sequence length, padding included."""
    terms: tuple[Term, ...]
    """They add up to `step_s`."""
    mfu: float | None
    """Model FLOPs utilization: the FLOPs that the method needs without recomputing, over the card's dense rate."""
    hfu: float | None
    """Hardware FLOPs utilization: recomputed FLOPs too."""
    basis: str
    """On which measured runs the efficiencies stand."""

    @property
    def tokens_per_s(self) -> float:
        """Of all GPUs together."""
        return self.tokens / self.step_s

    @property
    def tokens_per_s_interval(self) -> tuple[float, float]:
        """The slow and the fast end."""
        return self.tokens / self.high_s, self.tokens / self.low_s

"""Seconds of an optimizer step, phase by phase: what a plan says of it beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from planner.time.step_time import StepTime
from profiler.measure.types import MeasuredTime, StepSample

FORWARD_AND_BACKWARD = "forward and backward"
OPTIMIZER = "optimizer"
REST = "rest of the step"
STEP = "whole step"

_TERMS = {"optimizer": OPTIMIZER, "between steps": REST}
"""The plan's term -> the phase that it belongs to. The others are kernels of both passes, and what the card waits for
while they run: a plan counts products, attention and the rest for the forward and the backward pass together."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of a step, or several that are only known together. In seconds of one optimizer step."""

    name: str
    terms: tuple[str, ...]
    """The plan's terms that add up to its estimate."""
    estimate_s: float | None
    """None where a plan says nothing of it by itself."""
    measured_s: float | None

    @property
    def relative(self) -> float | None:
        """The estimate less the measurement, as a share of the measurement."""
        if self.estimate_s is None or not self.measured_s:
            return None
        return self.estimate_s / self.measured_s - 1


def phases(estimate: StepTime | None, measured: MeasuredTime) -> tuple[Phase, ...]:
    """The phases of a step and the whole of it, in order.

    The phases are left out where the samples do not add up to the step (those of slices, whose step is extrapolated).
    """
    whole = Phase(
        STEP,
        tuple(term.name for term in estimate.terms) if estimate else (),
        estimate.step_s if estimate else None,
        measured.step_s,
    )
    samples = measured.samples
    if not samples or abs(fmean(sample.step_s for sample in samples) / measured.step_s - 1) > 0.01:
        return (whole,)
    forward, backward, optimizer = (_mean(samples, name) for name in ("forward_s", "backward_s", "optimizer_s"))
    seconds = {
        FORWARD_AND_BACKWARD: forward + backward,
        OPTIMIZER: optimizer,
        REST: max(0.0, measured.step_s - forward - backward - optimizer),
    }
    return (
        Phase("forward", (), None, forward),
        Phase("backward", (), None, backward),
        *(_phase(name, estimate, spent) for name, spent in seconds.items()),
        whole,
    )


def _phase(name: str, estimate: StepTime | None, measured: float) -> Phase:
    terms = [term for term in estimate.terms if _TERMS.get(term.name, FORWARD_AND_BACKWARD) == name] if estimate else []
    planned = sum(term.seconds for term in terms) if estimate else None
    return Phase(name, tuple(term.name for term in terms), planned, measured)


def _mean(samples: Iterable[StepSample], name: str) -> float:
    return fmean(getattr(sample, name) for sample in samples)

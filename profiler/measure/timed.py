"""The time of steps, and of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import mean, stdev

from profiler.measure.device.base import Device
from profiler.measure.types import StepSample
from profiler.simulate.trace.trace import AFTER, CLIP, EMBED, LOSS_BACKWARD, TEMPORARY, Window

COVERAGE = 0.95

_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 97.5 % for 1 to 30 degrees of freedom."""

_PARTS = {EMBED: "forward", LOSS_BACKWARD: "backward", AFTER: "", CLIP: "optimizer"}
"""Window -> the part of a step that begins with it."""


class Timer:
    """A `Watcher` that puts marks on the device where the parts of a step begin."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._marks: list[tuple[str, object]] = []

    def begin(self) -> None:
        """A step begins."""
        self._marks = [("", self._device.mark())]

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        """A window begins."""
        if window.phase in _PARTS:
            self._marks.append((_PARTS[window.phase], self._device.mark()))

    def settle(self, part: int) -> None:
        """Of no account here."""

    def end(self) -> StepSample:
        """The step is done: wait for the device, and say what it took."""
        self._marks.append(("", self._device.mark()))
        self._device.synchronize()
        parts = {"forward": 0.0, "backward": 0.0, "optimizer": 0.0, "": 0.0}
        for (name, begin), (_, end) in zip(self._marks, self._marks[1:], strict=False):
            parts[name] += self._device.seconds(begin, end)
        whole = self._device.seconds(self._marks[0][1], self._marks[-1][1])
        return StepSample(whole, parts["forward"], parts["backward"], parts["optimizer"])


def interval_of_mean(seconds: Sequence[float]) -> tuple[float, float]:
    """Where the mean of more such samples would be expected, with a probability of `COVERAGE`: Student's t.

    Of one sample nothing is known: both ends are it.
    """
    middle = mean(seconds)
    if len(seconds) < 2:
        return middle, middle
    quantile = _QUANTILES[min(len(seconds) - 1, len(_QUANTILES)) - 1]
    reach = quantile * stdev(seconds) / sqrt(len(seconds))
    return max(middle - reach, 0.0), middle + reach

"""How far off a step's time may be: the interval, by what is known of the card.

data/spread.csv is made by `python -m profiler.speed.calibrate --write`, of how far predictions were off that were made
without the source of the run.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.catalogue import Gpu
from planner.run import TrainingRun
from planner.time.rates import Rates

DATA = Path(__file__).parent / "data"

COVERAGE = 0.90
"""The share of runs that an interval is to hold."""

SEVERAL = "several"
OTHER = "other"
"""The classes of data/spread.csv that are no generation: several cards, and what has no records."""


@dataclass(frozen=True, slots=True)
class Width:
    """How far the measured time lies from the predicted one, as factors of it."""

    low: float
    high: float
    basis: str


def spread(
    gpu: Gpu, rates: Rates, run: TrainingRun, widths: Mapping[str, Width] | None = None
) -> tuple[float, float, float, str]:
    """Factors of the step time at the low and at the high end, their coverage, and what they stand on.

    A card whose generation has records takes theirs; another one takes the widest, and so does one whose own matrix
    products nobody has measured. widths: others than those of data/spread.csv.
    """
    widths = _widths() if widths is None else widths
    width = widths.get(SEVERAL if run.num_gpus > 1 else gpu.architecture, widths[OTHER])
    if not rates.measured:
        width = max((width, widths[OTHER]), key=lambda width: width.high)
    return width.low, width.high, COVERAGE, width.basis


@cache
def _widths() -> dict[str, Width]:
    with (DATA / "spread.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["generation"]: Width(float(row["low"]), float(row["high"]), row["basis"])
            for row in csv.DictReader(lines)
        }

"""Runs predicted as if their source had never been seen: with constants, and within widths, of the other sources.

held_out.csv keeps them, since fitting takes half a minute: `python -m profiler.speed.calibrate --write` writes it.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path

from planner.time import spread
from planner.time.rates import rates_of
from planner.time.spread import Width
from profiler.speed.fit import alone, efficiency_of, fit, off
from profiler.speed.runs import SpeedRun, sources_of
from profiler.validate.summary import percentile

HELD_OUT = Path(__file__).parent / "held_out.csv"
COLUMNS = ("id", "step_s", "low_s", "high_s")

ENOUGH = 20
"""Runs that a class of cards needs for a width of its own."""

WIDER = 1.5
"""How much wider, in logs, what has no records is than the widest that has."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A run, predicted with constants fitted without its source."""

    run: SpeedRun
    off: float
    """Log of the predicted over the measured step time."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Seconds of an optimizer step, and the interval, by the other sources alone."""

    step_s: float
    low_s: float
    high_s: float


def held_out(runs: Sequence[SpeedRun], source: str) -> list[HeldOut]:
    """The runs of a source, predicted without it."""
    shares = efficiency_of(fit([run for run in runs if run.record.source != source]))
    return [HeldOut(run, off(run, shares)) for run in runs if run.record.source == source]


def widths(found: Sequence[HeldOut]) -> dict[str, Width]:
    """Class of card -> how far measured times lie from predictions.

    The middle 90 % of runs that were predicted without their source: of one card by its generation, where that has at
    least `ENOUGH` runs, and of several cards together. What has no records gets the widest, half as wide again.
    """
    classes: dict[str, list[HeldOut]] = {}
    for item in found:
        name = item.run.gpu.architecture if alone(item.run) else spread.SEVERAL
        classes.setdefault(name, []).append(item)
    reach: dict[str, tuple[float, float, str]] = {}
    for name, items in classes.items():
        if len(items) >= ENOUGH:
            ratios = [-item.off for item in items]
            low, high = (percentile(ratios, share) for share in ((1 - spread.COVERAGE) / 2, (1 + spread.COVERAGE) / 2))
            sources = ", ".join(sources_of([item.run for item in items]))
            basis = f"{len(items)} runs, each predicted without its source: {sources}"
            reach[name] = (min(low, 0.0), max(high, 0.0), basis)
    low, high = min(low for low, _, _ in reach.values()), max(high for _, high, _ in reach.values())
    widest = "no runs of this generation; half as wide again as the widest that is known"
    reach[spread.OTHER] = (WIDER * low, WIDER * high, widest)
    return {name: Width(exp(low), exp(high), basis) for name, (low, high, basis) in reach.items()}


def predictions(found: Sequence[HeldOut]) -> dict[str, Prediction]:
    """Id of a run -> what is said of it without its source: neither constants nor widths know it.

    The other sources' own predictions, of which the widths are made, were made with it, each without its own source.
    """
    result: dict[str, Prediction] = {}
    for source in sources_of([item.run for item in found]):
        others = widths([item for item in found if item.run.record.source != source])
        for item in found:
            if item.run.record.source == source:
                step_s = item.run.step_s * exp(item.off)
                low, high, _, _ = spread.spread(item.run.gpu, rates_of(item.run.gpu), item.run.run, others)
                result[item.run.record.id] = Prediction(step_s, step_s * low, step_s * high)
    return result


def write_held_out(found: Mapping[str, Prediction], path: Path = HELD_OUT) -> None:
    """Keep predictions."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, item in found.items():
            writer.writerow((name, f"{item.step_s:.5g}", f"{item.low_s:.5g}", f"{item.high_s:.5g}"))


@cache
def read_held_out(path: Path = HELD_OUT) -> Mapping[str, Prediction]:
    """Id of a run of the project's own -> what is said of it without its source."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            row["id"]: Prediction(float(row["step_s"]), float(row["low_s"]), float(row["high_s"]))
            for row in csv.DictReader(file)
        }

"""The constants of `planner.time`, fitted on the published speeds; and how far off they are on sources left out.

python -m profiler.speed.calibrate          what they come to, held out source by source
python -m profiler.speed.calibrate --write  planner/time/data/efficiency.csv and spread.csv
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log, sqrt
from pathlib import Path
from statistics import fmean

from planner.errors import Abstention, InputError
from planner.time import rates, spread
from planner.time.rates import PER_WATT, Efficiency
from planner.time.step import step_terms
from profiler.speed.runs import SpeedRun, published, sources_of, speed_run
from profiler.validate.summary import percentile

PRIOR: Mapping[str, tuple[float, str]] = {
    "matmul": (
        0.93,
        "a step's products beside the fastest that were published: other shapes, other kernels between them",
    ),
    "product_traffic": (0.9, "both operands and the result go through memory once, at 1 / 0.9 of the bandwidth"),
    "attention": (0.6, "FlashAttention-2 on an A100: up to 0.7 of the dense rate forward (its paper, 2307.08691)"),
    "attention_backward": (0.5, "the same backward: up to 0.6"),
    "traffic": (2.9, "a kernel reads one or two operands for each result: 2 to 3 bytes, at 0.85 of the bandwidth"),
    "dequantization": (2.0, "0.56 bytes read for 2 written; 59.8 ms a micro-batch of Llama-3-8B on an L40S"),
    "cache": (0.1, "the next kernel reads at once what this one wrote, if nothing else came between"),
    "long_lists": (0.85, "copies reach 0.8 to 0.9 of the bandwidth (gpu-benches, gpu-stream)"),
    "link": (0.7, "all-gathers of NCCL reach 0.7 to 0.8 of NVLink's rate"),
    "exposed": (0.5, "FSDP gathers one block ahead"),
    "launch_us": (
        40.0,
        "0.42 s a micro-batch of QLoRA on an L40S, for 12,268 kernels, of which the tapes count 10,495",
    ),
    "step_ms": (5.0, "the loop: data, clipping's norm, logging"),
    f"{PER_WATT}Hopper": (0.8, "an H100 of 700 W keeps up 560 TFLOPS"),
    f"{PER_WATT}Ada": (0.72, "an L40S of 350 W keeps up 250 TFLOPS"),
}
"""Name -> where the fit starts from and is drawn to, and why there."""

ON_ONE_CARD = ("matmul", "product_traffic", "traffic", "cache", "launch_us", "step_ms", f"{PER_WATT}Ada")
ON_SEVERAL = ("exposed", f"{PER_WATT}Hopper")
"""Which constants are fitted on which runs; the others stay what they start from."""

STRENGTH = 0.05
"""How much a constant off by a factor of e from its prior weighs, beside a mean error of 5 %."""


COVERAGE = spread.COVERAGE
ENOUGH = 20
"""Runs that a class of cards needs for a width of its own."""

WIDER = 1.5
"""How much wider, in logs, what has no records is than the widest that has."""


def efficiency_of(values: Mapping[str, float]) -> Efficiency:
    """The constants as `planner.time` takes them."""
    shares = {name: value for name, value in values.items() if not name.startswith(PER_WATT)}
    per_watt = {name.removeprefix(PER_WATT): value for name, value in values.items() if name.startswith(PER_WATT)}
    return Efficiency(**shares, tflops_per_watt=per_watt)


def off(run: SpeedRun, shares: Efficiency) -> float:
    """Log of the predicted over the measured step time."""
    return log(sum(line.seconds for line in step_terms(run.profile, run.run, run.gpu, shares)) / run.step_s)


def fit(runs: Sequence[SpeedRun]) -> dict[str, float]:
    """The constants for these runs: first those of one card, then those of several.

    A source weighs as the square root of its runs, which repeat each other.
    """
    values = {name: start for name, (start, _) in PRIOR.items()}
    alone = [run for run in runs if _alone(run)]
    together = [run for run in runs if not _alone(run)]
    for names, own in ((ON_ONE_CARD, alone), (ON_SEVERAL, together)):
        if own:
            values = _descend(values, names, lambda candidate, own=own: _loss(candidate, own))
    return values


def _alone(run: SpeedRun) -> bool:
    """Whether nothing that matters goes between cards: DDP of adapters sends next to nothing."""
    return run.run.num_gpus == 1 or (run.run.strategy == "ddp" and run.run.method != "full")


def _loss(values: Mapping[str, float], runs: Sequence[SpeedRun]) -> float:
    shares = efficiency_of(values)
    by_source: dict[str, list[float]] = {}
    for run in runs:
        by_source.setdefault(run.record.source, []).append(abs(off(run, shares)))
    drawn = sum(log(values[name] / start) ** 2 for name, (start, _) in PRIOR.items())
    weights = {source: sqrt(len(errors)) for source, errors in by_source.items()}
    mean = sum(weights[source] * fmean(errors) for source, errors in by_source.items()) / sum(weights.values())
    return mean + STRENGTH * drawn


def _descend(
    values: dict[str, float], names: Iterable[str], loss: Callable[[Mapping[str, float]], float]
) -> dict[str, float]:
    """Coordinate descent in factors, halved until they are below 1 %."""
    best, step = loss(values), 0.3
    while step > 0.01:
        moved = False
        for name in names:
            for factor in (1 + step, 1 / (1 + step)):
                candidate = values | {name: values[name] * factor}
                if candidate["matmul"] > 1:
                    continue
                now = loss(candidate)
                if now < best:
                    best, values, moved = now, candidate, True
                    break
        if not moved:
            step /= 2
    return values


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A run, predicted with constants fitted without its source."""

    run: SpeedRun
    off: float
    """Log of the predicted over the measured step time."""


@cache
def scored() -> tuple[SpeedRun, ...]:
    """The published runs that the planner can time."""
    runs: list[SpeedRun] = []
    for record in published():
        try:
            runs.append(speed_run(record))
        except (Abstention, InputError):
            continue
    return tuple(runs)


def held_out(runs: Sequence[SpeedRun]) -> list[HeldOut]:
    """Each run predicted without its source."""
    found: list[HeldOut] = []
    for source in sources_of(runs):
        shares = efficiency_of(fit([run for run in runs if run.record.source != source]))
        found.extend(HeldOut(run, off(run, shares)) for run in runs if run.record.source == source)
    return found


def widths(found: Sequence[HeldOut]) -> dict[str, tuple[float, float, str]]:
    """Class of card -> how far measured times lie from predictions, as factors at both ends, and the basis.

    The middle 90 % of runs that were predicted without their source: of one card by its generation, where that has at
    least `ENOUGH` runs, and of several cards together. What has no records gets the widest, half as wide again.
    """
    classes: dict[str, list[HeldOut]] = {}
    for item in found:
        name = item.run.gpu.architecture if _alone(item.run) else spread.SEVERAL
        classes.setdefault(name, []).append(item)
    result: dict[str, tuple[float, float, str]] = {}
    for name, items in classes.items():
        if len(items) >= ENOUGH:
            ratios = [-item.off for item in items]
            low, high = percentile(ratios, (1 - COVERAGE) / 2), percentile(ratios, (1 + COVERAGE) / 2)
            sources = ", ".join(sources_of([item.run for item in items]))
            result[name] = (
                min(low, 0.0),
                max(high, 0.0),
                f"{len(items)} runs, each predicted without its source: {sources}",
            )
    low, high = min(low for low, _, _ in result.values()), max(high for _, high, _ in result.values())
    result[spread.OTHER] = (
        WIDER * low,
        WIDER * high,
        "no runs of this generation; half as wide again as the widest that is known",
    )
    return {name: (exp(low), exp(high), basis) for name, (low, high, basis) in result.items()}


def _write(values: Mapping[str, float], runs: Sequence[SpeedRun], found: Sequence[HeldOut]) -> None:
    fitted = {
        name: f"fitted on {len(own)} runs of {', '.join(sources_of(own))}; "
        f"drawn to {PRIOR[name][0]:g}: {PRIOR[name][1]}"
        for names, alone in ((ON_ONE_CARD, True), (ON_SEVERAL, False))
        for own in [[run for run in runs if _alone(run) == alone]]
        for name in names
    }
    lines = [(name, f"{value:.4g}", fitted.get(name, PRIOR[name][1])) for name, value in values.items()]
    _write_csv(rates.DATA / "efficiency.csv", ("name", "value", "basis"), lines)
    rows = [(name, f"{low:.3f}", f"{high:.3f}", basis) for name, (low, high, basis) in sorted(widths(found).items())]
    _write_csv(spread.DATA / "spread.csv", ("generation", "low", "high", "basis"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _main(arguments: Sequence[str]) -> None:
    runs = scored()
    values, found = fit(runs), held_out(runs)
    for name, value in values.items():
        sys.stdout.write(f"{name:24} {value:.4g}\n")
    for title, chosen in GROUPS.items():
        sizes = [abs(exp(-item.off) - 1) for item in found if chosen(item.run)]
        sys.stdout.write(
            f"{title:36} {len(sizes):4} runs  median {percentile(sizes, 0.5):.1%}  90th percentile "
            f"{percentile(sizes, 0.9):.1%}  worst {max(sizes):.0%}\n"
        )
    if "--write" in arguments:
        _write(values, runs, found)


GROUPS: Mapping[str, Callable[[SpeedRun], bool]] = {
    "one card, hf kernels": lambda run: run.run.num_gpus == 1 and run.run.kernels == "hf",
    "one card": lambda run: run.run.num_gpus == 1,
    "full fine-tuning of MPT, 8 cards": lambda run: run.record.source == "llm-foundry",
    "all": lambda run: True,
}
"""What is told of, each held out source by source."""


if __name__ == "__main__":
    _main(sys.argv[1:])

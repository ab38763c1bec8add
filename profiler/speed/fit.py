"""The constants of `planner.time`: where each starts from and why, and what the published speeds make of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import log, sqrt
from statistics import fmean

from planner.time.rates import PER_WATT, Efficiency
from planner.time.step import step_terms
from profiler.speed.runs import SpeedRun

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
        "0.42 s a micro-batch of QLoRA on an L40S, for 12,268 kernels, of which the tapes count 10,367",
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
    on_one = [run for run in runs if alone(run)]
    on_several = [run for run in runs if not alone(run)]
    for names, own in ((ON_ONE_CARD, on_one), (ON_SEVERAL, on_several)):
        if own:
            values = _descend(values, names, lambda candidate, own=own: _loss(candidate, own))
    return values


def alone(run: SpeedRun) -> bool:
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

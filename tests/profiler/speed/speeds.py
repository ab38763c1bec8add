"""Speeds made by hand."""

from __future__ import annotations

from typing import Any

from planner.time.step_time import Term
from profiler.speed.score import Speed, SpeedScore


def timed(id: str, error: float | None, held_out: float | None = None, **fields: Any) -> SpeedScore:
    """A row measured at 1000 tokens a second and predicted with these errors, in intervals of a tenth to either side;
    None: abstained from, or not held out."""
    about: dict[str, Any] = {
        "source": "bench",
        "model": "mistralai/Mistral-7B-v0.1",
        "method": "lora",
        "kernels": "hf",
        "gpu": "a100-80",
        "num_gpus": 1,
        "measured": 1000.0,
    }
    if error is None:
        about["reason"] = "there are no formulas for it"
        return SpeedScore(id=id, **about | fields)
    about |= {"predicted": speed(error), "held_out": None if held_out is None else speed(held_out), "coverage": 0.9}
    about |= {"terms": (Term("matrix products", 0.75, ""), Term("exchange", 0.25, ""))}
    return SpeedScore(id=id, **about | fields)


def speed(error: float) -> Speed:
    predicted = 1000 * (1 + error)
    return Speed(predicted, 0.9 * predicted, 1.1 * predicted)

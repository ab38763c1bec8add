"""From a claim to a verdict: which function computes which quantity.

A figure is computed for the run as stated, with this tool's defaults for the rest; where it does not agree, a bound may
prove that none can; else the settings that the article leaves open are searched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from planner.catalogue import find_gpu
from profiler.claims.cards import judge_fits
from profiler.claims.claim import Claim
from profiler.claims.figures import judge_figure
from profiler.claims.judgement import Judgement
from profiler.claims.quantities import QUANTITIES
from profiler.claims.speeds import SPEED_UP
from profiler.claims.times import judge_time


def judge(claim: Claim) -> Judgement:
    """The verdict on a claim. Raises `KeyError` for a quantity that is in no table here."""
    return JUDGES[claim.quantity](claim)


def _judge_total(claim: Claim) -> Judgement:
    """The memory of a run: as a figure, or, where that is the size of the card that it names, whether it fits."""
    figure = claim.figure
    if claim.gpu and figure and figure.text == f"{find_gpu(claim.gpu).gpu.marketing_gb:g}":
        judgement = judge_fits(claim)
        return replace(judgement, why=f"That is all the card has: the claim is that it fits. {judgement.why}")
    return judge_figure(QUANTITIES[claim.quantity], claim)


JUDGES: dict[str, Callable[[Claim], Judgement]] = {
    **{name: partial(judge_figure, quantity) for name, quantity in QUANTITIES.items()},
    "total": _judge_total,
    "fits": judge_fits,
    "hours": judge_time,
    "cost": judge_time,
    "unsloth_speedup": partial(judge_figure, SPEED_UP),
}

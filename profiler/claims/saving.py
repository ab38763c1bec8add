"""Claims that a run costs less than another: on the same data, at the same price for an hour of a card."""

from __future__ import annotations

from planner.catalogue import find_gpu
from planner.errors import Abstention
from planner.run import TrainingRun
from profiler.claims.claim import Claim
from profiler.claims.figures import judge_figure
from profiler.claims.judgement import Judgement
from profiler.claims.quantities import EVERYTHING, Quantity, planned
from profiler.claims.settings import sharded, stated_run
from profiler.claims.speeds import REFERENCE_CARD, card_seconds_per_token

MOVING = tuple(field for field in EVERYTHING if field not in ("quantization", "adapter_dtype"))
"""Fields that are searched, as for hours."""


def judge_saving(claim: Claim, other: Claim) -> Judgement:
    """The verdict on a cost that `other`, a dearer run, is said to be cut to.

    What a run costs is the hours of a card that a token takes. The dearer run may be of several cards; where the
    article does not say of which, it is taken as if one held it, which leaves out what cards tell each other.
    """
    assert other.figure is not None
    text = other.figure.text
    cost = float(text.removesuffix("+"))
    gpu = find_gpu(claim.gpu or other.gpu or REFERENCE_CARD).gpu
    before = card_seconds_per_token(stated_run(other, sharded(other)), gpu)

    def value(run: TrainingRun) -> float:
        if planned(run, gpu).verdict == "does_not_fit":
            raise Abstention(f"the run does not fit {gpu.name}")
        return cost * card_seconds_per_token(run, gpu) / before

    def why(run: TrainingRun) -> str:
        share = card_seconds_per_token(run, gpu) / before
        return (
            f"A token takes {share:.0%} of the card hours that it takes in the run of {text} USD, on {gpu.name}; this "
            "is for the same data, at the same price for an hour of a card"
        )

    return judge_figure(Quantity(value, why, MOVING), claim)

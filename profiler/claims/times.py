"""Claims of hours and of what they cost.

Three things can be wrong with one: its own product of hours and price, the card that it names, which may be too small
for the run, and the hours. Hours are those of training alone, as the articles reckon. Where an article does not say how
many tokens an example has, it has the run's sequence length; where it does not say how many epochs, one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention, InputError
from planner.job import Job
from planner.job.steps import count_steps
from planner.run import TrainingRun
from profiler.claims.cards import room_in_words, verdict_on, weights_fit
from profiler.claims.claim import Claim, Figure, figure
from profiler.claims.judgement import Judgement, Verdict
from profiler.claims.product import product_of
from profiler.claims.quantities import EVERYTHING, planned
from profiler.claims.saving import judge_saving
from profiler.claims.settings import MOST_CHANGES, Nearby, assumed, nearby, sharded, stated_run
from profiler.claims.speeds import timed
from profiler.claims.words import capital, gigabytes, join, number

EPOCHS = 1
"""Taken where an article names none."""

OTHER_EPOCHS = (3, 2)
"""Tried besides: first what `TrainingArguments` and Alpaca's recipe have."""

MOVING = tuple(field for field in EVERYTHING if field not in ("quantization", "adapter_dtype"))
"""Fields that are searched: in the precision that is stated, for LoRA is no QLoRA, whose hours are others. The dtype of
adapters hardly moves hours."""


def judge_time(claim: Claim) -> Judgement:
    """The verdict on a claim of hours, or of a cost."""
    product = product_of(claim)
    if product is not None and not product.holds:
        return Judgement("impossible", None, claim.unit, (), product.why)
    if claim.instead_of is not None:
        return judge_saving(claim, claim.instead_of)
    run = stated_run(claim, sharded(claim))
    left_open = assumed(run, EVERYTHING)
    said = [product.why] if product is not None else []
    claimed = _claimed_hours(claim)
    if claim.gpu is None or claimed is None:
        reserved = gigabytes(planned(run).memory.peak_bytes.reserved)
        said.append(f"The run takes {reserved} reserved; neither the card nor the hours are named, nor how much data.")
        return Judgement("too little is stated", None, claim.unit, left_open, " ".join(said))
    said.append(capital(room_in_words(claim, run)))
    if not weights_fit(claim, run):
        return Judgement("impossible", None, claim.unit, left_open, " ".join(said))
    if run.method == "full" and "base_dtype" in run.defaulted:
        said += _in_float32(run)
    gpu = find_gpu(claim.gpu).gpu
    if claim.examples is None:
        said.append(_bought(run, gpu, float(claim.hours or claimed.low)))
        return Judgement("too little is stated", None, claim.unit, left_open, " ".join(said))
    return _judge_hours(claim, claimed, run, gpu, said)


@dataclass(frozen=True, slots=True)
class Trained:
    """How long a run trains on a claim's examples."""

    near: Nearby
    verdict: str
    """fits or tight."""
    epochs: int
    examples: int
    low: float
    hours: float
    high: float
    tokens_per_s: float

    def agrees(self, claimed: Figure) -> bool:
        """Whether what is claimed lies in the range that is expected."""
        return self.low <= claimed.high and claimed.low <= self.high

    def distance(self, claimed: Figure) -> float:
        """By which factor the two ranges miss each other."""
        return max(self.low / claimed.high, claimed.low / self.high)

    def __str__(self) -> str:
        length = self.near.run.sequence_length
        times = f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        return (
            f"{number(self.hours)} h ({number(self.low)} to {number(self.high)}) for {times} of {self.examples:,} "
            f"examples of {length:,} tokens, at {number(self.tokens_per_s)} tokens a second"
        )


def _judge_hours(claim: Claim, claimed: Figure, run: TrainingRun, gpu: Gpu, said: list[str]) -> Judgement:
    stated: Trained | None = None
    fitting: Trained | None = None
    nearest: Trained | None = None
    for changes in range(MOST_CHANGES + 1):
        for near, epochs in _candidates(claim, run, changes):
            found = _trained(claim, near, epochs, gpu)
            if found is None:
                continue
            fitting = fitting or found
            if not changes:
                stated = found
            if found.agrees(claimed):
                return _agreement(claim, found, stated, said)
            if nearest is None or found.distance(claimed) < nearest.distance(claimed):
                nearest = found
    verdict: Verdict = "no setting explains it"
    first = stated or fitting
    if first is None or nearest is None:
        said.append("With no setting that was tried does it fit.")
        return Judgement(verdict, None, claim.unit, assumed(run, EVERYTHING), " ".join(said))
    said.append(_sentence(first, stated))
    if nearest is not first:
        said.append(f"The nearest of what was tried is {nearest}, with {join(nearest.near.settings)}.")
    return Judgement(verdict, _computed(claim, stated), claim.unit, assumed(run, EVERYTHING), " ".join(said))


def _agreement(claim: Claim, found: Trained, stated: Trained | None, said: list[str]) -> Judgement:
    left_open = assumed(found.near.run, EVERYTHING)
    if found is stated:
        said.append(_sentence(found, stated))
        return Judgement("right", _computed(claim, stated), claim.unit, left_open, " ".join(said))
    if stated is not None:
        said.append(_sentence(stated, stated))
    said.append(_sentence(found, stated))
    settings = found.near.settings
    return Judgement(
        "right for other settings", _computed(claim, stated), claim.unit, left_open, " ".join(said), settings
    )


def _sentence(found: Trained, stated: Trained | None) -> str:
    if found is stated:
        return f"Training takes {found}."
    fits = "" if stated is not None else "it fits and " if found.verdict == "fits" else "it is tight and "
    return f"With {join(found.near.settings)} {fits or 'it '}takes {found}."


def _candidates(claim: Claim, run: TrainingRun, changes: int) -> Iterator[tuple[Nearby, int]]:
    """Runs with that many changes, with their epochs; another number of epochs is a change too, and the first tried."""
    if claim.epochs is None and changes:
        for epochs in OTHER_EPOCHS:
            for near in nearby(claim, run, sharded(claim), MOVING, changes - 1):
                yield Nearby(near.run, (*near.settings, f"{epochs} epochs")), epochs
    for near in nearby(claim, run, sharded(claim), MOVING, changes):
        yield near, claim.epochs or EPOCHS


def _trained(claim: Claim, near: Nearby, epochs: int, gpu: Gpu) -> Trained | None:
    """None where the run does not fit, or its time is not known."""
    assert claim.examples is not None
    with suppress(Abstention, InputError):
        verdict = verdict_on(claim, near.run)
        if verdict is None or verdict == "does_not_fit":
            return None
        step = timed(near.run, gpu)
        job = Job(examples=claim.examples, epochs=epochs)
        steps = count_steps(claim.examples, near.run, job).micro_batches / near.run.gradient_accumulation_steps
        low, hours, high = (steps * seconds / 3600 for seconds in (step.low_s, step.step_s, step.high_s))
        return Trained(near, verdict, epochs, claim.examples, low, hours, high, step.tokens_per_s)
    return None


def _computed(claim: Claim, stated: Trained | None) -> float | None:
    """In the claim's unit: of a cost, at the article's own price."""
    if stated is None:
        return None
    if claim.quantity == "hours":
        return stated.hours
    return stated.hours * float(claim.usd_per_hour) if claim.usd_per_hour is not None else None


def _claimed_hours(claim: Claim) -> Figure | None:
    """The hours that a claim names, or computes its cost from."""
    if claim.quantity == "hours":
        return claim.figure
    if claim.hours is None or claim.figure is None:
        return None
    return figure(f"{claim.hours:f}", about=claim.figure.about)


def _bought(run: TrainingRun, gpu: Gpu, hours: float) -> str:
    """What so many hours are enough for."""
    step = timed(run, gpu)
    low, high = (3600 * hours * rate / 1e6 for rate in step.tokens_per_s_interval)
    tokens = 3600 * hours * step.tokens_per_s
    return (
        f"In {number(hours)} h it trains on {number(tokens / 1e6)} million tokens ({number(low)} to {number(high)}), "
        f"{tokens / run.sequence_length:,.0f} examples of {run.sequence_length:,}; how many there were is not said."
    )


def _in_float32(run: TrainingRun) -> list[str]:
    """What full fine-tuning takes with float32 weights, where that is more than as planned."""
    in_float32, as_planned = (
        planned(each).memory.peak_bytes.reserved for each in (run.replace(base_dtype="float32"), run)
    )
    if in_float32 <= as_planned:
        return []
    return [f"That is all in {run.base_dtype}; with float32 weights it would be {gigabytes(in_float32)}."]

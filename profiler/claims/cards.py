"""Claims that a run fits its card or cards, in whichever way a model can be spread over several."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention, InputError
from planner.plan import resolve
from planner.run import TrainingRun
from planner.units import GB
from profiler.claims.claim import Claim
from profiler.claims.judgement import Judgement
from profiler.claims.quantities import EVERYTHING, at_step, planned, weights
from profiler.claims.settings import MOST_CHANGES, Nearby, assumed, nearby, stated_run
from profiler.claims.words import capital, gigabytes, join, number

PERSISTENT = ("base_weights", "adapters", "gradients", "optimizer_states")
"""What a trained model takes whatever its batch."""


def judge_fits(claim: Claim) -> Judgement:
    """The verdict on a claim that a run fits its card or cards."""
    run = stated_run(claim)
    left_open = assumed(run, EVERYTHING)
    reserved = planned(run).memory.peak_bytes.reserved / GB
    why = capital(room_in_words(claim, run))
    if verdict_on(claim, run) == "fits":
        return Judgement("right", reserved, "GB", left_open, why)
    found = _search(claim, run, EVERYTHING, "fits")
    if found is not None:
        why += f" With {join(found.settings)}: {room_in_words(claim, found.run)}"
        left_open = assumed(found.run, EVERYTHING)
        return Judgement("right for other settings", reserved, "GB", left_open, why, found.settings)
    verdict = "no setting explains it" if weights_fit(claim, run) else "impossible"
    return Judgement(verdict, reserved, "GB", left_open, why)


def verdict_on(claim: Claim, run: TrainingRun) -> str | None:
    """Whether a run `fits` the claim's cards, is `tight` or `does_not_fit`.

    A run of one process may have a part of its layers on each of several cards (`device_map`): none needs more than the
    largest part, what lies outside the layers, and all that comes and goes in a step on one card; a run that this does
    not prove to fit is tight.
    """
    gpu, cards = _cards(claim)
    if not weights_fit(claim, run):
        return "does_not_fit"
    if cards > run.num_gpus:
        return "fits" if _most_on_a_card(cards, run) <= gpu.usable_bytes else "tight"
    if planned(run).memory.allocated_interval_bytes.low > gpu.usable_bytes:  # known without the limits on a card
        return "does_not_fit"
    return planned(run, gpu).verdict


def room_in_words(claim: Claim, run: TrainingRun) -> str:
    """What a run takes beside what its card or cards have: a sentence without its first capital."""
    gpu, cards = _cards(claim)
    usable = f"one {gpu.name} has {gigabytes(gpu.usable_bytes)} usable"
    if not weights_fit(claim, run):
        weights = _least_weights(run)
        part = f", {gigabytes(weights / cards)} a card when spread over {cards}" if cards > 1 else ""
        return f"the weights alone take {gigabytes(weights)}{part}; {usable}."
    if cards > run.num_gpus:
        most = gigabytes(_most_on_a_card(cards, run))
        return f"at most {most} a card with the layers spread over {cards}; {usable}."
    memory = planned(run).memory
    low, high = memory.interval_bytes.low, memory.interval_bytes.high
    each = f" on each of {cards} cards" if cards > 1 else ""
    reserved = f"{gigabytes(memory.peak_bytes.reserved)} reserved{each}"
    return f"{reserved} ({number(low / GB)} to {number(high / GB)}); {usable}."


def _cards(claim: Claim) -> tuple[Gpu, int]:
    assert claim.gpu is not None
    return find_gpu(claim.gpu).gpu, claim.n_gpus or 1


def weights_fit(claim: Claim, run: TrainingRun) -> bool:
    """Whether the base alone, in the run's own precision and spread over the claim's cards, fits them."""
    gpu, cards = _cards(claim)
    return _least_weights(run) / cards <= gpu.usable_bytes


def _least_weights(run: TrainingRun) -> int:
    """Bytes of the base in a run's own precision, whether or not what is not quantized is cast to float32."""
    fields: dict[str, object] = {name: getattr(run, name) for name in ("model", "method", "base_dtype", "quantization")}
    if run.quantization in ("nf4", "fp4"):
        fields |= {"double_quant": True, "prepare_kbit": False}
    return weights(TrainingRun(**fields))


def _most_on_a_card(cards: int, run: TrainingRun) -> float:
    architecture = resolve(run.model, run.transformers_version)[1]
    memory = planned(run).memory
    persistent = sum(at_step(run)[name] for name in PERSISTENT)
    largest_part = -(-architecture.num_layers // cards) / architecture.num_layers
    # in float32; trained ones with a gradient and Adam's two states
    outside = (16 if run.method == "full" else 4) * sum(module.count for module in architecture.outer)
    lasting = sum(at_step(run)[name] for name in PERSISTENT if name != "gradients")
    return persistent * largest_part + outside + memory.interval_bytes.high - lasting


def _search(claim: Claim, run: TrainingRun, moving: Sequence[str], verdict: str) -> Nearby | None:
    for changes in range(1, MOST_CHANGES + 1):
        for other in nearby(claim, run, {}, moving, changes):
            with suppress(Abstention, InputError):
                if verdict_on(claim, other.run) == verdict:
                    return other
    return None

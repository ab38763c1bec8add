"""`other_ways`: what else would do the job of a run, over cards, methods, batches, kernels and offers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from planner.errors import Abstention, InputError
from planner.run import TrainingRun
from pricing.offer import Offer

if TYPE_CHECKING:
    from planner.job import Job
    from pricing.recommendation import Recommendation

KEPT = (
    *("rank", "alpha", "dropout", "target_modules", "target_parameters", "modules_to_save", "bias", "use_rslora"),
    *("packing", "eval_batch_size", "max_grad_norm", "trainer", "empty_cache"),
    *("transformers_version", "peft_version"),
)
"""Fields that other ways have as the run has them, where it was told: what is learned, and with which programs."""


def kept_fields(run: TrainingRun) -> tuple[str, ...]:
    """Those of `KEPT` that the run was told."""
    given = run.to_dict()
    return tuple(name for name in KEPT if given[name] is not None and name not in run.defaulted)


def other_ways(run: TrainingRun, job: Job | None, offers: Sequence[Offer], today: date) -> Recommendation | str:
    """The frontier of time and cost for the same model, length and job; or why there is none, in a sentence."""
    from pricing.recommend import recommend

    given = run.to_dict()
    kept = {name: given[name] for name in kept_fields(run)}
    try:
        return recommend(
            {"model": run.model, "sequence_length": run.sequence_length, **kept}, job, offers=offers, today=today
        )
    except Abstention as error:
        return f"No other way is known: {error.reason}."
    except InputError as error:
        return f"No other way was looked for: {error}."

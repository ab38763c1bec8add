"""The plan of one file, for what sets several beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from lora_plan.arguments import Arguments
from lora_plan.card import card_of
from lora_plan.job_options import job_of
from lora_plan.options import given_run, run_and_config
from planner.errors import Abstention, InputError
from reports.comparison.sides import Planned, Side, Unplanned

if TYPE_CHECKING:
    from pricing.offer import Offer

ALL_OFFERS = 10_000
"""More quotes than a card has: the one whose high end is the least may be any of them."""


def side_of(name: str, arguments: Arguments, offers: Sequence[Offer], day: date, file: str | None = None) -> Side:
    """What is planned for the run, the card and the job of `arguments`, under the name `name`.

    file: a run file or a trainer's config to read in place of those in the arguments. What is wrong with any of it, and
    what the planner does not know, is the side's reason for having no plan. The user's records are left out: what is
    set side by side has to be known in the same way, and a gate has to say the same on every machine.
    """
    from planner.job import run_for
    from planner.plan import plan
    from pricing.plan_quotes import plan_quotes

    try:
        training, reading = run_and_config(given_run(arguments), file=file)
        job = job_of(arguments, reading, bar=False)
        planned = plan(run_for(training, job), card_of(arguments), job)
    except InputError as error:
        return Unplanned(name, str(error), refused=True)
    except Abstention as abstention:
        return Unplanned(name, str(abstention), refused=False)
    return Planned(name, planned, plan_quotes(planned, offers, day, limit=ALL_OFFERS), reading)

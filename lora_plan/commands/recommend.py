"""`lora-plan recommend`: the cheapest and fastest ways to do a job that fit."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.job_options import JOB_OPTIONS, job_of
from lora_plan.options import StatedRun, given_run, stated_run
from lora_plan.output import write, write_json
from lora_plan.run_options import GPU, METHOD, RUN_OPTIONS
from lora_plan.wishes import WISH_OPTIONS, wishes_of

if TYPE_CHECKING:
    from pricing.wishes import Wishes

NAME = "recommend"
HELP = (
    "Searches cards, their number, methods, micro-batches, checkpointing, optimizers, kernels and offers for the ways "
    "to do a job that nothing beats in both time and cost. What you give of a run is kept; the rest is searched."
)
NOT_MET = 1

SEARCHED = (
    *("micro_batch_size", "gradient_accumulation_steps", "gradient_checkpointing"),
    *("kernels", "optimizer"),
)
"""Options of a run that are searched where they are not given."""


def _of_a_search(option: Option) -> Option:
    if option.name not in SEARCHED:
        return option
    return replace(option, help=f"{option.help.partition(' [default:')[0]} [default: searched]")


SEARCH_OPTIONS = (
    *(_of_a_search(option) for option in RUN_OPTIONS if option.panel not in (GPU, METHOD)),
    Option(
        "method",
        "--method",
        METHOD,
        "NAME",
        "Such as qlora; may be given again. [default: full, lora, qlora, int8-lora]",
        repeated=True,
    ),
    *(option for option in RUN_OPTIONS if option.panel == METHOD and option.name != "method"),
    *JOB_OPTIONS,
    *WISH_OPTIONS,
)
"""The options of a search, in `recommend` and in `sweep`."""

OPTIONS = (
    *SEARCH_OPTIONS,
    Option("json", "--json", "Output", "", "Print JSON; sizes are in bytes, dollars are text."),
    Option("help", "--help", "Output", "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Recommend ways to do the job that the options describe; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    wishes = wishes_of(arguments)
    stated = stated_search(arguments, wishes)
    as_json = arguments.on("json")
    job = job_of(arguments, stated.reading, bar=not as_json)
    from lora_plan.today import today
    from pricing.recommend import recommend

    with stated.naming():
        found = recommend(stated.fields, job, wishes, today=today())
    if as_json:
        from reports.recommend_json import recommendation_json
        from reports.trainer_config import with_config

        write_json(with_config(recommendation_json(found), stated.reading))
    else:
        from reports.page import page_of
        from reports.recommend import recommendation_text

        write(recommendation_text(found, page_of(sys.stdout), stated.reading))
    return 0 if found.frontier else NOT_MET


def stated_search(arguments: Arguments, wishes: Wishes) -> StatedRun:
    """What was said of a run; methods are wishes, and trainers' defaults are searched over. Raises `InputError`."""
    stated = stated_run(given_run(Arguments(arguments | {"method": None})), leave_open=(*SEARCHED, "method"))
    if wishes.methods:
        # a flag goes before the file
        return replace(stated, fields={name: value for name, value in stated.fields.items() if name != "method"})
    return stated

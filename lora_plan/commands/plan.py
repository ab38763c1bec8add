"""`lora-plan` without a command: the memory plan of a run."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.card import RUN_AND_CARD_OPTIONS, card_of, check_card
from lora_plan.errors import UsageError
from lora_plan.job_options import JOB_OPTIONS, job_of
from lora_plan.options import given_run, run_and_config
from lora_plan.output import write, write_json

if TYPE_CHECKING:
    from planner.catalogue import Gpu
    from planner.job import Job
    from planner.plan_types import Plan
    from planner.run import TrainingRun
    from planner.trainer_configs import Reading
    from pricing.plan_quotes import PlanQuotes

NOT_MET = 1
OUTPUT = "Output"
TIME = "time"

OPTIONS = (
    *RUN_AND_CARD_OPTIONS,
    *JOB_OPTIONS,
    Option("json", "--json", OUTPUT, "", "Print JSON; sizes are in bytes."),
    Option("check", "--check", OUTPUT, "", "Exit with status 1 unless the verdict is FITS."),
    Option(
        "explain",
        "--explain",
        OUTPUT,
        "COMPONENT",
        "The formula of one component at the peak, or of the time of a step (time), with this run's numbers.",
    ),
    Option("save_run", "--save-run", OUTPUT, "FILE", "Write the run to a .yaml, .toml or .json file."),
    Option("version", "--version", OUTPUT, "", "Print the version."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Plan the run that the options describe; gives the exit status."""
    command = ctx.invoked_subcommand
    if command is not None:
        # typer calls this before every command
        if any(value is not None for value in arguments.values()):
            raise UsageError(
                f"the command {command!r} goes first; write `lora-plan {command}`, and its own options after it"
            )
        return 0
    if arguments.on("help"):
        from lora_plan.help import main_help
        from reports.page import page_of

        write(main_help(ctx, page_of(sys.stdout)))
        return 0
    if arguments.on("version"):
        from lora_plan import __version__

        write(f"lora-plan {__version__}\n")
        return 0
    _check_options(arguments)
    training, reading = run_and_config(given_run(arguments))
    card = card_of(arguments)
    job = job_of(arguments, reading)
    if job is not None:
        from planner.job import run_for

        training = run_for(training, job)
    file, component = arguments.text("save_run"), arguments.text("explain")
    if file is not None:
        from planner.run import write_run

        write_run(training, file)
    if component is not None:
        _explain(training, component, card, arguments.on("json"))
        return 0
    verdict = _plan(training, card, job, reading, arguments.on("json")).verdict
    return NOT_MET if arguments.on("check") and verdict != "fits" else 0


def _check_options(arguments: Arguments) -> None:
    check_card(arguments)
    if arguments.on("check") and arguments["explain"] is not None:
        raise UsageError("--check and --explain ask for two things; give one of them", field="explain")


def _gpu(card: Gpu | str | None) -> Gpu | None:
    if isinstance(card, str):
        from planner.catalogue import find_gpu

        return find_gpu(card).gpu
    return card


def _plan(
    training: TrainingRun, card: Gpu | str | None, job: Job | None, reading: Reading | None, as_json: bool
) -> Plan:
    from planner.places import stored_file
    from planner.plan import plan
    from planner.suggestions import suggestions

    planned = plan(training, card, job)
    advice = suggestions(planned, _gpu(card))
    if stored_file() is not None:
        # what reads records is imported only where there are any
        from profiler.records.of_plan import measured_plan

        planned, _ = measured_plan(planned)
    planned, quotes = _quoted(planned)
    if reading is not None:
        planned = replace(planned, notes=(*reading.notes, *planned.notes))
    lengths = job.lengths if job else None
    if as_json:
        from reports.json import to_json
        from reports.trainer_config import with_config

        write_json(with_config(to_json(planned, advice, quotes, lengths), reading))
    else:
        from reports.page import page_of
        from reports.terminal import plan_text

        write(plan_text(planned, advice, page_of(sys.stdout), quotes, lengths, reading))
    return planned


def _quoted(planned: Plan) -> tuple[Plan, PlanQuotes | None]:
    """The plan with what it costs; where a sheet of the user's cannot be read, with a note instead."""
    if planned.time is None:
        return planned, None
    from lora_plan.today import today
    from planner.errors import InputError
    from pricing.plan_quotes import plan_quotes
    from pricing.sheets import offers

    day = today()
    try:
        return planned, plan_quotes(planned, offers(today=day), day)
    except InputError as error:
        return replace(planned, notes=(*planned.notes, f"What it costs is not shown: {error}")), None


def _explain(training: TrainingRun, component: str, card: Gpu | str | None, as_json: bool) -> None:
    if component.strip().lower() == TIME:
        _explain_time(training, _gpu(card), as_json)
        return
    from planner.explain import explain

    explanation = explain(training, component, _gpu(card))
    if as_json:
        from reports.json import explanation_json

        write_json(explanation_json(explanation))
    else:
        from reports.explanation import explanation_text
        from reports.page import page_of

        write(explanation_text(explanation, page_of(sys.stdout)))


def _explain_time(training: TrainingRun, gpu: Gpu | None, as_json: bool) -> None:
    if gpu is None:
        raise UsageError("--explain time needs the card that it is the time on; add --gpu NAME", field="gpu")
    from planner.time.explain import explain_time

    step = explain_time(training, gpu)
    if as_json:
        from reports.json import time_json

        write_json(time_json(step))
    else:
        from reports.page import page_of
        from reports.time import explained_time_text

        card = gpu.name if training.num_gpus == 1 else f"{training.num_gpus} x {gpu.name}"
        write(explained_time_text(step, card, page_of(sys.stdout)))

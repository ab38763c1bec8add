"""`lora-plan sweep`: the whole grid of a search as a table for other programs."""

from __future__ import annotations

import sys

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.commands.recommend import SEARCH_OPTIONS, stated_search
from lora_plan.errors import UsageError
from lora_plan.job_options import job_of
from lora_plan.output import write, write_error
from lora_plan.wishes import wishes_of

NAME = "sweep"
HELP = (
    "Writes every plan that `lora-plan recommend` considers to a CSV or Parquet file, one a line: the run, the cards, "
    "memory and verdict, speed, hours, and what it costs on the cheapest offer."
)

OPTIONS = (
    *(option for option in SEARCH_OPTIONS if option.name not in ("budget", "deadline")),
    Option("output", "--output", "Output", "FILE", "A .csv or .parquet file to write."),
    Option("force", "--force", "Output", "", "Write it even where there is such a file."),
    Option("help", "--help", "Output", "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Write the grid that the options describe; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    output = arguments.text("output")
    if output is None:
        raise UsageError("--output is missing; name a .csv or .parquet file to write", field="output")
    from pricing.sweep_file import check_path

    path = check_path(output, force=arguments.on("force"))
    wishes = wishes_of(Arguments({**arguments, "budget": None, "deadline": None}))
    stated = stated_search(arguments, wishes)
    job = job_of(arguments, stated.reading)
    from lora_plan.today import today
    from pricing.sweep import sweep
    from pricing.sweep_file import write_sweep

    with stated.naming():
        rows = write_sweep(path, sweep(stated.fields, job, wishes, today=today()))
    if sys.stdout is not None:
        write(f"{rows:,} plans in {path}\n")
    if stated.reading is not None:
        from reports.trainer_config import in_words

        for words in in_words(stated.reading.uncounted):
            write_error(f"not counted: {words}")
    return 0

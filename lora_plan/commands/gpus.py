"""`lora-plan gpus`: the catalogue of cards."""

from __future__ import annotations

import sys

import typer

from lora_plan.arguments import Arguments
from lora_plan.commands.catalogue import helped
from lora_plan.output import write, write_json

NAME = "gpus"
HELP = (
    "Lists the cards that are known by name, with the memory that PyTorch can use; with words, those "
    "whose name, vendor or architecture holds all of them, as `lora-plan gpus a100 80`."
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """List the cards that are known by name; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    from planner.catalogue import find_gpu, list_gpus

    words = " ".join(arguments.words())
    # a name that people use for a card, as a100-80, finds it where the words of its own name do not
    found = list_gpus(words) or [find_gpu(words).gpu]
    if arguments.on("json"):
        from reports.json import gpus_json

        write_json(gpus_json(found))
    else:
        from reports.catalogues import gpus_text
        from reports.page import page_of

        write(gpus_text(found, page_of(sys.stdout)))
    return 0

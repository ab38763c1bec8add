"""`lora-plan models`: the catalogue of models."""

from __future__ import annotations

import sys

import typer

from lora_plan.arguments import Arguments
from lora_plan.commands.catalogue import helped
from lora_plan.output import write, write_json
from planner.errors import InputError

NAME = "models"
HELP = (
    "Lists the models that are known by name, with their parameters; with words, those whose name holds "
    "all of them, as `lora-plan models llama 70b`."
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """List the models that are known by name; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    from planner.catalogue import search_models

    words = " ".join(arguments.words())
    found = search_models(words)
    if not found:
        from planner.catalogue.models import unknown_model

        raise InputError(unknown_model(words), field="query")
    if arguments.on("json"):
        from reports.json import models_json

        write_json(models_json(found))
    else:
        from reports.catalogues import models_text
        from reports.page import page_of

        write(models_text(found, page_of(sys.stdout)))
    return 0

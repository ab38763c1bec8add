"""`lora-plan prices refresh`: new prices from the public lists of providers and catalogues."""

from __future__ import annotations

import contextlib
import sys

import typer

from lora_plan.arguments import Arguments
from lora_plan.errors import UsageError
from lora_plan.output import write, write_json
from lora_plan.progress import ProgressBar

FAILED = 1

TAKES = ("source", "json", "help", "words")
"""What of the options of `prices` is for refreshing."""


def run(_ctx: typer.Context, arguments: Arguments) -> int:
    """Refresh the sheets of the sources asked for, or of all; gives the exit status, 1 where one failed."""
    refuse_others(arguments, TAKES, "refresh")
    if len(arguments.words()) > 1:
        raise UsageError("`prices refresh` takes no words; name a source with --source", field="source")
    from lora_plan.today import today
    from pricing.http import Client
    from pricing.refresh import choose, refresh
    from pricing.sheets import price_folder

    sources, folder = choose(arguments.texts("source")), price_folder()
    with contextlib.closing(ProgressBar()) as bar:
        outcomes = refresh(sources, Client().get, folder, today(), bar.tell)
    if arguments.on("json"):
        from reports.price_refresh import refresh_json

        write_json(refresh_json(outcomes))
    else:
        from reports.page import page_of
        from reports.price_refresh import refresh_text

        write(refresh_text(outcomes, page_of(sys.stdout)))
    return FAILED if any(outcome.error is not None for outcome in outcomes) else 0


def refuse_others(arguments: Arguments, takes: tuple[str, ...], word: str) -> None:
    """Raise `UsageError` for an option of `prices` that `prices refresh` or `import` does nothing with."""
    for name, value in arguments.items():
        if name not in takes and value not in (None, False, []):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is for listing prices; leave it out of `prices {word}`", field=name)

"""`lora-plan prices import FILE`: prices of one's own, or of a catalogue that was downloaded."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from lora_plan.arguments import Arguments
from lora_plan.commands.prices_refresh import refuse_others
from lora_plan.errors import UsageError
from lora_plan.output import write, write_json

TAKES = ("name", "provider", "json", "help", "words")
"""What of the options of `prices` is for importing."""


def run(_ctx: typer.Context, arguments: Arguments) -> int:
    """Import the file that is named after `import`; gives the exit status."""
    refuse_others(arguments, TAKES, "import")
    files, providers = arguments.words()[1:], arguments.texts("provider")
    if len(files) != 1:
        raise UsageError("`prices import` takes one file; name it, as in `prices import prices.csv`", field="file")
    if len(providers) > 1:
        raise UsageError("a SkyPilot catalogue is of one provider; give --provider once", field="provider")
    from lora_plan.today import today
    from pricing.importing import import_prices

    provider = providers[0] if providers else None
    imported = import_prices(Path(files[0]), today(), name=arguments.text("name"), provider=provider)
    if arguments.on("json"):
        from reports.price_refresh import import_json

        write_json(import_json(imported))
    else:
        from reports.page import page_of
        from reports.price_refresh import import_text

        write(import_text(imported, page_of(sys.stdout)))
    return 0

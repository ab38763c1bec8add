"""`lora-plan gpus`: the catalogue of cards."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lora_plan.commands.catalogue import query
from lora_plan.output import write, write_json


def run(argv: Sequence[str]) -> int:
    """List the cards that are known by name; gives the exit status."""
    asked = query(
        argv,
        "lora-plan gpus [QUERY] [--json]",
        "Lists the cards that are known by name, with the memory that PyTorch can use; with words, those "
        "whose name, vendor or architecture holds all of them, as `lora-plan gpus a100 80`.",
    )
    if asked is None:
        return 0
    from planner.catalogue import find_gpu, list_gpus

    words, as_json = asked
    # a name that people use for a card, as a100-80, finds it where the words of its own name do not
    found = list_gpus(words) or [find_gpu(words).gpu]
    if as_json:
        from reports.json import gpus_json

        write_json(gpus_json(found))
    else:
        from reports.catalogues import gpus_text
        from reports.page import page_of

        write(gpus_text(found, page_of(sys.stdout)))
    return 0

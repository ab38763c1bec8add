"""What the commands that list a catalogue have in common."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lora_plan.arguments import Option, parse
from lora_plan.output import write

OPTIONS = (
    Option("json", "--json", "Output", "", "Print JSON, with everything that is known and its source."),
    Option("help", "--help", "Output", "", "Print this."),
)


def query(argv: Sequence[str], usage: str, what: str) -> tuple[str, bool] | None:
    """The words searched for, and whether JSON is wanted; None when the help was, which is then printed."""
    arguments, words = parse(argv, OPTIONS)
    if arguments.on("help"):
        from lora_plan.help import command_help
        from reports.page import page_of

        write(command_help(usage, what, OPTIONS, page_of(sys.stdout)))
        return None
    return " ".join(words), arguments.on("json")

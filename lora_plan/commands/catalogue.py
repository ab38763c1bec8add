"""What the commands that list a catalogue have in common."""

from __future__ import annotations

import sys

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.output import write

OPTIONS = (
    Option("json", "--json", "Output", "", "Print JSON, with everything that is known and its source."),
    Option("help", "--help", "Output", "", "Print this."),
)


def helped(ctx: typer.Context, arguments: Arguments) -> bool:
    """Whether the help was asked for, which is then printed."""
    if arguments.on("help"):
        from lora_plan.help import command_help
        from reports.page import page_of

        write(command_help(ctx, page_of(sys.stdout)))
    return arguments.on("help")

"""The help of a command: a panel for each group of its options.

The panels are typer's, drawn here: typer's own give the --no- form of a switch a column to itself, and at 80
columns cut the names of options in half to make room for it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import typer
from rich.box import ASCII, ROUNDED
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperOption

from reports.page import Page

USAGE = (
    ("lora-plan [OPTIONS]", "does it fit, and where does every byte go?"),
    ("lora-plan simulate [OPTIONS]", "the same from the real stack, without a GPU"),
    ("lora-plan verify [OPTIONS]", "both held to a few real steps on this machine"),
    ("lora-plan recommend [OPTIONS]", "the cheapest and fastest ways to do a job"),
    ("lora-plan report [OPTIONS]", "a cost report, or what a change to a run costs"),
    ("lora-plan check [FILE]", "runs held to the limits of a committed file"),
    ("lora-plan sweep [OPTIONS]", "all of them as a CSV or Parquet file"),
    ("lora-plan validate [OPTIONS]", "how far both are off on measured runs"),
    ("lora-plan records [QUERY]", "what verify measured, to show and to share"),
    ("lora-plan models [QUERY]", "the models that are known by name"),
    ("lora-plan gpus [QUERY]", "the cards that are known by name"),
    ("lora-plan prices [QUERY]", "what they cost, where, and each price's age"),
)
EXAMPLE = "lora-plan --model llama-70b --method qlora --gpu a100-80"
STATUSES = (
    "Exit status: 0 done, 1 a check was not met, 2 bad input or a plan that is refused with its reason, "
    "3 no device to measure on, 4 an error of lora-plan itself."
)


def main_help(ctx: typer.Context, page: Page) -> str:
    """How to call lora-plan, within the page's width."""
    usage = _rows((Text(call, "bold"), Text(what)) for call, what in USAGE)
    example = Text.assemble("For example: ", (EXAMPLE, "bold"))
    parts = [_indented(usage), _indented(example), *_panels(ctx, page), Padding(Text(STATUSES), (0, 2))]
    return _drawn(parts, page)


def command_help(ctx: typer.Context, page: Page) -> str:
    """How to call one command, within the page's width."""
    words = "".join(f"[{param.metavar}] " for param in ctx.command.params if isinstance(param, TyperArgument))
    usage = Text(f"{ctx.command_path} {words}[OPTIONS]", "bold")
    return _drawn([_indented(usage), _indented(Text(ctx.command.help or "")), *_panels(ctx, page)], page)


def _panels(ctx: typer.Context, page: Page) -> list[RenderableType]:
    options = [param for param in ctx.command.params if isinstance(param, TyperOption)]
    groups: dict[str, list[TyperOption]] = {}
    for option in options:
        groups.setdefault(option.rich_help_panel or "Options", []).append(option)
    return [
        Panel(
            _rows((_flag(option), Text(option.help or "")) for option in group),
            title=title,
            title_align="left",
            box=ROUNDED if page.unicode else ASCII,
            border_style="dim",
        )
        for title, group in groups.items()
    ]


def _flag(option: TyperOption) -> Text:
    flag = option.opts[0].replace("--", "--[no-]", 1) if option.secondary_opts else ", ".join(option.opts)
    return Text.assemble((flag, "bold cyan"), " ", (option.metavar or "", "yellow"))


def _rows(rows: Iterable[tuple[Text, Text]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=25)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _indented(text: RenderableType) -> Padding:
    return Padding(text, (0, 2, 1, 2))


def _drawn(parts: Iterable[RenderableType], page: Page) -> str:
    file = io.StringIO()
    console = Console(
        file=file,
        width=page.width,
        force_terminal=page.colour,
        color_system="standard" if page.colour else None,
        highlight=False,
        legacy_windows=False,
    )
    for part in parts:
        console.print(part)
    return page.finish(file.getvalue().splitlines())

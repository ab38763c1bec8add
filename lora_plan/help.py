"""The help of a command: its options in two columns, in groups."""

from __future__ import annotations

from collections.abc import Sequence

from lora_plan.arguments import Option
from reports.page import Page

INTRODUCTION = (
    ("lora-plan [OPTIONS]", "does this run fit, and where does every byte go?"),
    ("lora-plan models [QUERY]", "the models that are known by name"),
    ("lora-plan gpus [QUERY]", "the cards that are known by name"),
)
EXAMPLE = "lora-plan --model llama-70b --method qlora --gpu a100-80"
STATUSES = (
    "Exit status: 0 done, 1 --check was not met, 2 bad input or a plan that is refused with its reason, "
    "4 an error of lora-plan itself."
)
COLUMN = 30


def main_help(options: Sequence[Option], page: Page) -> str:
    """How to call lora-plan, within the page's width."""
    lines = [page.heading("Usage")]
    for usage, what in INTRODUCTION:
        lines += page.wrap(what, first=f"  {usage}".ljust(COLUMN), rest=" " * COLUMN)
    lines += ["", "  For example:", f"    {EXAMPLE}"]
    return page.finish([*lines, *_options(options, page), "", *page.wrap(STATUSES)])


def command_help(usage: str, what: str, options: Sequence[Option], page: Page) -> str:
    """How to call one command."""
    return page.finish([page.heading("Usage"), f"  {usage}", "", *page.wrap(what), *_options(options, page)])


def _options(options: Sequence[Option], page: Page) -> list[str]:
    lines: list[str] = []
    for panel in dict.fromkeys(option.panel for option in options):
        lines += ["", page.heading(panel)]
        lines += [line for option in options if option.panel == panel for line in _option(option, page)]
    return lines


def _option(option: Option, page: Page) -> list[str]:
    flag = f"--[no-]{option.flag.removeprefix('--')}" if option.negated else option.flag
    left = f"  {flag} {option.metavar}".rstrip()
    if len(left) < COLUMN - 1:
        return page.wrap(option.help, first=left.ljust(COLUMN), rest=" " * COLUMN)
    return [left, *page.wrap(option.help, first=" " * COLUMN)]

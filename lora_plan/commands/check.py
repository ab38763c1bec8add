"""`lora-plan check`: runs held to the limits of a committed file."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.output import write, write_error, write_json
from planner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lora_plan.limits_file import Entry
    from pricing.offer import Offer
    from reports.checks import CheckedRun
    from reports.comparison.sides import Side

NAME = "check"
HELP = (
    "Holds runs to limits of memory, headroom, dollars and hours: those that the limits file lists, or run files and "
    "trainers' configs that are named here. What is held to a limit is the worse end of what is expected. Exit status "
    "1 where a limit is broken, or cannot be answered."
)
BROKEN = 1
REFUSED = 2
MARK = "<!-- lora-plan check -->"
"""The first line of a comment, by which a file, and a comment on a pull request, is known as ours."""
LONGEST_COMMENT = 60_000
"""Characters of a comment with its tables; GitHub takes 65,536."""

OPTIONS = (
    Option("limits", "--limits", "Limits", "FILE", "YAML, TOML or JSON. [default: lora-plan.limits.yaml]"),
    Option("base", "--base", "Limits", "FOLDER", "Compare with its versions of the same files."),
    Option("json", "--json", "Output", "", "Print JSON; dollars are text."),
    Option("junit", "--junit", "Output", "FILE", "Write JUnit's XML: a suite a run, a case a limit."),
    Option("comment", "--comment", "Output", "FILE", "Write Markdown for a pull request."),
    Option("help", "--help", "Output", "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Check what the limits file says; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    from lora_plan.limits_file import DEFAULT, read_limits
    from lora_plan.today import today
    from pricing.sheets import offers
    from reports.checks.junit import SUITES

    _check_base(arguments.text("base"))
    _check_file(arguments, "junit", SUITES)
    _check_file(arguments, "comment", MARK)
    day = today()
    path = Path(arguments.text("limits") or DEFAULT)
    if not path.exists() and arguments["limits"] is None:
        raise InputError(
            f"{DEFAULT} is not in this folder; write it, or name another file with --limits", field="limits"
        )
    entries = read_limits(path, arguments.words(), datetime.combine(day, datetime.now().time()))
    sheet = offers(today=day)
    runs = [_checked(entry, arguments.text("base"), sheet, day) for entry in entries]
    _write(runs, arguments)
    return REFUSED if any(run.refused for run in runs) else BROKEN if not all(run.ok for run in runs) else 0


def _check_base(folder: str | None) -> None:
    if folder is not None and not Path(folder).is_dir():
        from planner.catalogue.spelling import shown_path

        raise InputError(f"{shown_path(folder)} is not a folder; give one with the files as they were", field="base")


def _check_file(arguments: Arguments, name: str, mark: str) -> None:
    file = arguments.text(name)
    if file is not None:
        from lora_plan.own_files import check_own

        check_own(Path(file), mark, field=name)


def _checked(entry: Entry, base: str | None, sheet: Sequence[Offer], day: date) -> CheckedRun:
    from lora_plan.card import check_card
    from lora_plan.sides import side_of
    from planner.trainer_configs.document import printable
    from reports.checks import CheckedRun, check_run
    from reports.comparison.sides import Unplanned

    name = printable(entry.name)
    side: Side
    try:
        check_card(Arguments({**entry.arguments(), "check": None}))
        side = side_of(name, entry.arguments(), sheet, day)
        checked = CheckedRun(side, check_run(side, entry.limits))
    except InputError as error:
        side = Unplanned(name, str(error), refused=True)
        checked = CheckedRun(side, check_run(side, entry.limits))
    if base is None:
        return checked
    files = [_before(path, Path(base)) for path in entry.files]
    present = [path for path in files if path is not None]
    if len(present) < len(files):
        return replace(checked, compared=True)
    return replace(checked, compared=True, base=side_of(f"{name} before", entry.arguments(present), sheet, day))


def _before(path: Path, base: Path) -> Path | None:
    """Where a file of the working directory is in the folder of how things were; None where it was not there."""
    try:
        relative = Path(os.path.relpath(path))
        before = base / relative
        return before if ".." not in relative.parts and before.is_file() else None
    except (OSError, ValueError):  # another drive, or no path at all
        return None


def _write(runs: list[CheckedRun], arguments: Arguments) -> None:
    from lora_plan.own_files import write_own
    from reports.comparison.sides import Unplanned

    junit, comment = arguments.text("junit"), arguments.text("comment")
    if junit is not None:
        from reports.checks.junit import junit as junit_text

        write_own(Path(junit), junit_text(runs), field="junit")
    if comment is not None:
        write_own(Path(comment), _comment(runs), field="comment")
    if arguments.on("json"):
        from reports.checks.json import check_json

        write_json(check_json(runs))
    else:
        from reports.checks.text import check_text
        from reports.page import page_of

        write(check_text(runs, page_of(sys.stdout)))
    for run in runs:
        if isinstance(run.side, Unplanned):
            write_error(run.side.sentence)


def _comment(runs: list[CheckedRun]) -> str:
    """The comment with its tables, or as much of it as fits into one."""
    from reports.checks.document import check_document
    from reports.documents.markdown import markdown

    text = ""
    for most, with_tables in ((len(runs), True), (len(runs), False), (100, False), (20, False), (0, False)):
        text = f"{MARK}\n\n{markdown(check_document(runs, most=most, with_tables=with_tables), lambda _: None)}"
        if len(text) <= LONGEST_COMMENT:
            break
    return text

"""Options as rows of a table, and reading them from the command line.

argparse reads them: typer 0.29 needs 0.19 s of CPU time for as many options, most of it for pydantic.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from lora_plan.errors import UsageError

COMMANDS = ("models", "gpus")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a command."""

    name: str
    """What its value is called: a field of `TrainingRun`, or a name of the command's own."""
    flag: str
    panel: str
    """The group of the help that it stands in."""
    metavar: str
    """Empty for a switch."""
    help: str
    negated: bool = False
    """Whether a switch has a --no- form, and so three values: on, off, and not given."""


class Arguments(dict[str, "str | bool | None"]):
    """What was given, by the names of the options; None for what was not."""

    def text(self, name: str) -> str | None:
        """The value of an option that takes one."""
        value = self[name]
        return value if isinstance(value, str) else None

    def on(self, name: str) -> bool:
        """Whether a switch was given."""
        return self[name] is True


def parse(argv: Sequence[str], options: Iterable[Option]) -> tuple[Arguments, list[str]]:
    """The options in `argv`, and the words that are none. Raises `UsageError`.

    Values stay text, so that all errors about them are the run's own.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for option in options:
        if option.metavar:
            parser.add_argument(option.flag, dest=option.name)
        elif option.negated:
            parser.add_argument(option.flag, dest=option.name, action=argparse.BooleanOptionalAction)
        else:
            short = ("-h",) if option.flag == "--help" else ()
            parser.add_argument(option.flag, *short, dest=option.name, action="store_true")
    known, rest = parser.parse_known_args(argv)
    words = [word for word in rest if not word.startswith("-") or word == "-"]
    for word in rest:
        if word not in words and word != "--":
            raise _unknown_option(word, options)
    return Arguments(vars(known)), words


def unknown_command(word: str) -> UsageError:
    """The error for a word that is no option's value."""
    from planner.names import did_you_mean
    from planner.run.wording import shown

    if word in COMMANDS:
        return UsageError(
            f"the command {word!r} goes first; write `lora-plan {word}`, and its own options after it"
        )
    hint = did_you_mean(word, COMMANDS) or "; `lora-plan --help` lists the commands and options"
    return UsageError(f"{shown(word)} is neither a command nor an option's value{hint}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        missing = re.fullmatch(r"argument (\S+): expected one argument", message)
        if missing is not None:
            flag = missing[1].partition("/")[0]
            raise UsageError(f"option '{flag}' needs a value; write it after the option, or as {flag}=VALUE")
        unwanted = re.match(r"argument (\S+): ignored explicit argument", message)
        if unwanted is not None:
            flag = unwanted[1].partition("/")[0]
            raise UsageError(f"option '{flag}' is a switch; write it without a value")
        raise UsageError(f"{message.removeprefix('argument ')}; see `lora-plan --help`")


def _unknown_option(word: str, options: Iterable[Option]) -> UsageError:
    from planner.names import did_you_mean
    from planner.run.wording import shown

    name = word.partition("=")[0]
    flags = [option.flag for option in options]
    flags += [option.flag.replace("--", "--no-", 1) for option in options if option.negated]
    hint = did_you_mean(name, flags) or "; `lora-plan --help` lists them"
    return UsageError(f"option {shown(name)} is not known{hint}")

"""The typer app: its commands, and its errors as ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from lora_plan.arguments import command, flags_of, lacks_value
from lora_plan.commands import (
    catalogue,
    check,
    gpus,
    models,
    plan,
    prices,
    recommend,
    records,
    report,
    simulate,
    sweep,
    validate,
    verify,
)
from lora_plan.errors import UsageError

# typer carries its own copy of click, or in older versions depends on click: its base class is either's
_TYPER_USAGE_ERROR = next(
    parent for parent in typer.BadParameter.__mro__ if issubclass(parent, Exception) and parent.__name__ == "UsageError"
)


_COMMANDS = (
    (simulate, simulate.OPTIONS, ""),
    (verify, verify.OPTIONS, ""),
    (recommend, recommend.OPTIONS, ""),
    (report, report.OPTIONS, "FILE"),
    (check, check.OPTIONS, "FILE"),
    (sweep, sweep.OPTIONS, ""),
    (validate, validate.OPTIONS, ""),
    (models, catalogue.OPTIONS, "QUERY"),
    (gpus, catalogue.OPTIONS, "QUERY"),
    (prices, prices.OPTIONS, "QUERY"),
    (records, records.OPTIONS, "QUERY"),
)
"""The commands beside the plan: their modules, their options, and what they call other words."""


class _Commands(TyperGroup):
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            raise _unknown_command(cmd_name)
        return super().get_command(ctx, cmd_name)


def run(argv: Sequence[str]) -> int:
    """Run the command that `argv` names; gives its exit status. Raises `UsageError`."""
    try:
        # not by calling the app, which would replace the excepthook of the process
        return get_command(_app(argv)).main(list(argv), prog_name="lora-plan", standalone_mode=False)
    except _TYPER_USAGE_ERROR as error:
        raise _usage_error(error, argv) from None


def _app(argv: Sequence[str]) -> typer.Typer:
    """The plan, which needs no command's name, and the command that `argv` may name: typer is slow to make one."""
    # the help is an option like the others, so that it too is written by `output.write`
    made = typer.Typer(add_completion=False)
    made.callback(cls=_Commands, invoke_without_command=True, add_help_option=False)(command(plan.run, plan.OPTIONS))
    for module, options, words in _COMMANDS:
        if module.NAME in argv:
            made.command(module.NAME, help=module.HELP, add_help_option=False)(
                command(module.run, options, words=words)
            )
    return made


def _usage_error(error: Any, argv: Sequence[str]) -> UsageError:
    flag = getattr(error, "option_name", None)
    if flag is None:
        return UsageError(f"{error.format_message().rstrip('.')}; see `lora-plan --help`")
    if hasattr(error, "possibilities"):
        return _unknown_option(_as_typed(flag, argv), error.ctx)
    options = (*plan.OPTIONS, *(option for _, options, _ in _COMMANDS for option in options))
    if any(option.metavar and option.flag == flag for option in options):
        return lacks_value(flag)
    return UsageError(f"option '{flag}' is a switch; write it without a value")


def _as_typed(flag: str, argv: Sequence[str]) -> str:
    """`-rank` for the `-r` that typer makes of it."""
    if flag.startswith("--"):
        return flag
    typed = (word for word in argv if word.startswith("-") and not word.startswith("--"))
    return next((word.partition("=")[0] for word in typed if flag[1:] in word), flag)


def _unknown_option(flag: str, ctx: typer.Context) -> UsageError:
    from planner.names import did_you_mean
    from planner.run.wording import shown

    hint = did_you_mean(flag, flags_of(ctx)) or f"; `{ctx.command_path} --help` lists them"
    return UsageError(f"option {shown(flag)} is not known{hint}")


def _unknown_command(word: str) -> UsageError:
    from planner.names import did_you_mean
    from planner.run.wording import shown

    names = [module.NAME for module, _, _ in _COMMANDS]
    hint = did_you_mean(word, names) or "; `lora-plan --help` lists the commands and options"
    return UsageError(f"{shown(word)} is neither a command nor an option's value{hint}")

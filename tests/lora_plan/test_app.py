"""What typer makes of the table of options, and the help that is drawn of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lora_plan.commands.plan import OPTIONS
from tests.lora_plan.cli import PLAN, call, spawn


def test_the_help_holds_every_option_whole() -> None:
    out = call("--help").out
    for option in OPTIONS:
        flag = option.flag.replace("--", "--[no-]", 1) if option.negated else option.flag
        assert f"│ {flag} {option.metavar}".rstrip() in out
    text = " ".join(out.replace("│", " ").split())
    for option in OPTIONS:
        if option.flag != "--gradient-checkpointing":
            assert option.help.split(" [default:")[0] in text
    assert "…" not in out
    assert text.count("[default:") == sum("[default:" in option.help for option in OPTIONS)


@pytest.mark.parametrize("command", ["models", "gpus"])
def test_the_help_of_a_command(command: str) -> None:
    outcome = call(command, "--help")
    assert outcome.status == 0
    assert outcome.out.startswith(f"  lora-plan {command} [QUERY] [OPTIONS]\n")
    assert "--json" in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert call(command, "-h").out == outcome.out


def test_the_help_without_unicode_or_a_disk() -> None:
    done = spawn("--help", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout
    assert b"\x1b" not in spawn("--help", env={"FORCE_COLOR": "1", "GITHUB_ACTIONS": "true"}).stdout
    with Path("/dev/full").open("wb") as full:
        done = spawn("--help", stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.startswith(b"lora-plan: the output cannot be written")


def test_values_by_an_equals_sign_and_the_last_one_wins() -> None:
    plain = call(*PLAN, "--rank", "8", "--packing", "--json").out
    assert call(*PLAN, "--json", "--rank=8", "--packing").out == plain
    assert call(*PLAN, "--json", "--rank=64", "--no-packing", "--rank=8", "--packing").out == plain


def test_two_dashes_end_the_options() -> None:
    assert call(*PLAN, "--").out == call(*PLAN).out
    assert "'--rank' is neither a command" in call(*PLAN, "--", "--rank").err
    assert call("models", "--", "llama", "70b").out == call("models", "llama", "70b").out


def test_the_process_keeps_its_excepthook() -> None:
    before = sys.excepthook
    call(*PLAN)
    assert sys.excepthook is before

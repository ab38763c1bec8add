"""The README is true: what it shows is what the tool prints."""

from __future__ import annotations

import contextlib
import io
import re
from datetime import date
from pathlib import Path

import pytest

from tests.lora_plan.cli import PLAN, call

WRITTEN = date(2026, 11, 22)
"""The day on which prices are as old as it shows them."""

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_plan_it_shows_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("lora_plan.today.today", lambda: WRITTEN)
    shown = re.search(r"```text\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    assert call(*PLAN).out.rstrip() == shown[1]


def test_the_recommendation_it_shows_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("lora_plan.today.today", lambda: WRITTEN)
    command, shown = re.findall(r"`lora-plan (recommend [^`]*)`:\n\n```text\n(.*?)\n```", README, re.DOTALL)[0]
    assert call(*command.split()).out.rstrip() == shown


@pytest.mark.slow
def test_the_simulation_it_shows_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path))
    command, shown = re.findall(r"`lora-plan (simulate [^`]*)`:\n\n```text\n(.*?)\n```", README, re.DOTALL)[0]
    printed = call(*command.split()).out.rstrip()
    # the installed libraries may be newer than those it was written with
    versions = re.compile(r"  - torch \d.*\n")
    assert versions.sub("", printed) == versions.sub("", shown)


@pytest.mark.slow
def test_the_verification_it_shows_is_what_its_command_measures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The bytes, that is; the processor and its seconds are those of the machine that it was written on."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path))
    command, shown = re.findall(r"`lora-plan (verify [^`]*)`[^`]*:\n\n```text\n(.*?)\n```", README, re.DOTALL)[0]
    printed = call(*command.split(), "--max-steps", "2").out

    def ledger(text: str) -> str:
        return text[text.index("Estimate and simulation beside") : text.index("  difference: ")]

    assert ledger(printed) == ledger(shown)
    assert printed.splitlines()[1] == shown.splitlines()[1]


def test_the_score_it_shows_is_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = re.search(r"`lora-plan validate`, .*?```text\n(.*?)\n```", README, re.DOTALL)
    assert shown is not None
    assert call("validate").out.partition("\n\n")[0] == shown[1]


def test_its_first_commands_stand_on_one_line_each() -> None:
    lines = [line for line in README.splitlines() if line.startswith("pip install")]
    assert lines == [
        "pip install . && lora-plan --model llama-70b --method qlora --gpu a100-80",
        "pip install -e '.[dev]' && python -m pytest -n auto --dist worksteal",
    ]


def test_its_python_runs() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    with contextlib.redirect_stdout(io.StringIO()):
        exec(block[1], {})

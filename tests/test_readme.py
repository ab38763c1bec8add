"""The README is true: what it shows is what the tool prints."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from datetime import date
from pathlib import Path

import pytest

from lora_plan import app
from lora_plan.commands import plan
from tests.lora_plan.cli import PLAN, call

WRITTEN = date(2026, 11, 22)
"""The day on which prices are as old as it shows them."""

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGS = ROOT / "reports" / "gallery" / "configs"


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


def test_what_it_shows_of_a_config_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(ROOT)
    command, shown = re.findall(r"`lora-plan (--config [^`]*)` begins.*?```text\n(.*?)\n```", README, re.DOTALL)[0]
    printed = call(*command.split()).out
    verdict, _, rest = shown.partition("\n\n")
    assert printed.startswith(f"{verdict}\n\n")
    assert f"\n\n{rest}\n\n" in printed


def test_the_change_it_shows_is_what_its_command_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_plan.today.today", lambda: WRITTEN)
    monkeypatch.chdir(CONFIGS)
    command, shown = re.findall(r"`lora-plan (report --compare [^`]*)`.*?\n> ([^\n]*)\n", README, re.DOTALL)[0]
    assert f"\n{shown}\n" in call(*command.split()).out


def test_the_check_it_shows_is_what_its_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("lora_plan.today.today", lambda: WRITTEN)
    monkeypatch.chdir(CONFIGS)
    limits, shown = re.findall(
        r"```yaml\n(.*?)\n```\n\n`lora-plan check` prints\n\n```text\n(.*?)\n```", README, re.DOTALL
    )[0]
    assert (CONFIGS / "lora-plan.limits.yaml").read_text(encoding="utf-8").rstrip() == limits
    outcome = call("check")
    assert (outcome.status, outcome.out.rstrip()) == (1, shown)


SLOW_OR_ELSEWHERE = ("simulate", "verify", "validate", "recommend", "prices refresh")
"""Commands with a test of their own above, and one that needs a network."""


def test_every_other_command_it_shows_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for config in CONFIGS.iterdir():
        shutil.copy(config, tmp_path)
    shutil.copy(CONFIGS / "before.yml", tmp_path / "sft.yaml")
    shutil.copytree(CONFIGS, tmp_path / CONFIGS.relative_to(ROOT))
    commands = dict.fromkeys(re.findall(r"`lora-plan ([^`\n]*)`", README))
    ran = 0
    for command in commands:
        if any(mark in command for mark in ("…", "[", "FILE")) or command.startswith(SLOW_OR_ELSEWHERE):
            continue
        if command == "report":  # which is named, and not told what to report on
            continue
        outcome = call(*command.split())
        assert outcome.status in (0, 1), f"lora-plan {command}: {outcome.err}"
        ran += 1
    assert ran >= 8
    assert {path.name for path in tmp_path.glob("report*")} >= {"report.md", "report-memory.svg"}


def test_every_flag_it_names_is_one() -> None:
    known = {option.flag for _, options, _ in app._COMMANDS for option in options}
    known |= {option.flag for option in plan.OPTIONS}
    ours = set(re.findall(r"`[^`\n]*?(--[a-z][a-z-]+)", README)) - OTHERS
    assert {flag.replace("--no-", "--", 1) if flag not in known else flag for flag in ours} <= known


OTHERS = {"--dist", "--write"}
"""Flags of other programs."""


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

"""The plan from the command line: what it prints, its exit status, and the streams it is written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planner.memory.ledger import COMPONENTS
from tests.lora_plan.cli import PLAN, ROOT, call, spawn


def test_the_verdict_is_the_first_line() -> None:
    outcome = call(*PLAN)
    assert outcome.status == 0
    assert outcome.err == ""
    assert outcome.out.startswith("FITS   Llama-3.1-70B QLoRA on A100-80GB-SXM\n")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\x1b" not in outcome.out


def test_json_agrees_with_itself() -> None:
    data = json.loads(call(*PLAN, "--json").out)
    peak = data["memory"]["peak_bytes"]
    assert peak["allocated"] <= peak["reserved"] <= peak["process"]
    at_peak = max(instant["allocated_bytes"] for instant in data["memory"]["instants"])
    assert at_peak == peak["allocated"]
    assert data["run"]["method"] == "qlora"
    assert data["verdict"] == "fits"


def test_check_passes_only_what_fits() -> None:
    assert call(*PLAN, "--check").status == 0
    outcome = call("--model", "llama-70b", "--method", "lora", "--gpu", "t4", "--check")
    assert outcome.status == 1
    assert outcome.out.startswith("DOES NOT FIT")
    assert call("--model", "llama-70b", "--method", "lora", "--gpu", "t4", "--check", "--json").status == 1


def test_what_does_not_fit_is_no_error_unless_checked() -> None:
    assert call("--model", "llama-70b", "--method", "lora", "--gpu", "t4").status == 0


def test_without_a_card() -> None:
    outcome = call("--model", "llama-3.1-8b")
    assert outcome.status == 0
    assert "--gpu" in outcome.out.partition("\n\n")[0]
    assert json.loads(call("--model", "llama-3.1-8b", "--json").out)["verdict"] is None


@pytest.mark.parametrize("component", COMPONENTS)
def test_explanations_add_up_to_the_ledger(component: str) -> None:
    plan = json.loads(call(*PLAN, "--json").out)
    at_peak = next(item for item in plan["memory"]["instants"] if item["name"] == plan["memory"]["instant"])
    explained = json.loads(call(*PLAN, "--explain", component, "--json").out)
    assert explained["total_bytes"] == at_peak["components"][component]
    text = call(*PLAN, "--explain", component).out
    assert f"{explained['total_bytes']:,} B" in text
    assert "Source: " in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "card.yaml"
    file.write_text("name: My card\nmemory_gib: 24\n")
    by_file = json.loads(call("--model", "llama-3.1-8b", "--gpu-file", str(file), "--json").out)
    by_flag = json.loads(call("--model", "llama-3.1-8b", "--gpu-memory", "24", "--json").out)
    assert by_file["gpu"]["name"] == "My card"
    assert by_file["gpu"]["memory_bytes"] == by_flag["gpu"]["memory_bytes"] == 24 * 2**30


def test_save_run_writes_the_run_that_was_planned(tmp_path: Path) -> None:
    file = str(tmp_path / "run.toml")
    saved = json.loads(call(*PLAN, "--rank", "8", "--save-run", file, "--json").out)
    again = json.loads(call("--run", file, "--gpu", "a100-80", "--json").out)
    assert again["run"] == saved["run"]
    assert again["memory"] == saved["memory"]


def test_version_and_help() -> None:
    assert call("--version").out.startswith("lora-plan 0.")
    outcome = call("--help")
    assert outcome.status == 0
    assert max(map(len, outcome.out.splitlines())) <= 80
    for panel in ("Model", "Method", "Precision", "Batch", "Memory savers", "GPU", "Output"):
        assert f"╭─ {panel} ─" in outcome.out
    assert "lora-plan models" in outcome.out
    assert call("-h").out == outcome.out


def test_nothing_at_all_prints_the_help() -> None:
    outcome = call()
    assert outcome.status == 2
    assert outcome.out == call("--help").out


def test_an_error_of_our_own_says_how_to_report_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("planner.plan.plan", broken)
    outcome = call(*PLAN, "--json")
    assert outcome.status == 4
    assert outcome.err.count("\n") == 1
    assert "ZeroDivisionError" in outcome.err
    assert "LORA_PLAN_DEBUG=1" in outcome.err
    assert json.loads(outcome.out)["error"]["kind"] == "internal"
    monkeypatch.setenv("LORA_PLAN_DEBUG", "1")
    assert "Traceback" in call(*PLAN).err


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("planner.plan.plan", interrupted)
    outcome = call(*PLAN)
    assert (outcome.status, outcome.out, outcome.err) == (130, "", "")


def test_from_any_directory_with_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    done = spawn(*PLAN, cwd=tmp_path, env={"HOME": str(home)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"FITS")
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("env", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_terminal_that_has_ascii_only(env: dict[str, str]) -> None:
    done = spawn(*PLAN, env={"PYTHONCOERCECLOCALE": "0", **env})
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert done.stdout.startswith(b"FITS")
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout


def test_a_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = spawn(*PLAN, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_disk_that_is_full() -> None:
    with Path("/dev/full").open("wb") as full:
        done = spawn(*PLAN, stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr.startswith(b"lora-plan: the output cannot be written (no space left on device)")
    assert done.stderr.count(b"\n") == 1


def test_streams_that_are_closed() -> None:
    command = f"{sys.executable} -m lora_plan {' '.join(PLAN)}"
    for redirected in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"{command} {redirected}"], check=False, capture_output=True, timeout=60, cwd=ROOT
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_bytes_that_are_no_text() -> None:
    done = spawn("--model", os.fsdecode(b"\xff\xfe"), "--method", "lora")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_the_way_to_a_plan_imports_nothing_heavy() -> None:
    done = spawn(*PLAN, env={"PYTHONPROFILEIMPORTTIME": "1"})
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "planner.plan" in imported
    for heavy in ("torch", "transformers", "peft", "bitsandbytes", "pandas", "numpy", "rich", "yaml"):
        assert heavy not in imported
    assert not [name for name in imported if name.startswith("profiler")]

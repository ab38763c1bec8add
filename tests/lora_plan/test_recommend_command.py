"""`lora-plan recommend`."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from lora_plan.wishes import hours_until
from planner.errors import InputError
from tests.lora_plan.cli import call, spawn

RECOMMEND = ("recommend", "--model", "llama-3.1-8b")
FEW = ("--method", "qlora", "--gpu", "l40s", "--kernels", "hf")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own prices: none, whatever there is on this machine."""
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path))
    return tmp_path


def test_a_normal_call_considers_200_000_candidates() -> None:
    done = spawn(*RECOMMEND, "--examples", "10k", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout)
    assert found["considered"] >= 200_000
    assert found["frontier"]


def test_filters_and_what_is_given_of_the_run_are_kept() -> None:
    outcome = call(
        *RECOMMEND, *FEW, "--provider", "runpod", "--market", "on-demand", "--rank", "8", "--batch-size", "2", "--json"
    )
    assert outcome.status == 0, outcome.err
    for way in json.loads(outcome.out)["frontier"]:
        assert (way["run"]["method"], way["run"]["rank"], way["run"]["micro_batch_size"]) == ("qlora", 8, 2)
        assert (way["quote"]["provider"], way["quote"]["market"]) == ("runpod", "on-demand")
        assert way["gpu"]["name"] == "L40S"


def test_a_run_file_is_kept_but_for_the_flags(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: llama-3.1-8b\nmethod: lora\nrank: 4\n")
    outcome = call("recommend", "--run", str(file), "--gpu", "l40s", "--method", "qlora", "--json")
    assert outcome.status == 0, outcome.err
    assert {way["run"]["method"] for way in json.loads(outcome.out)["frontier"]} == {"qlora"}
    assert json.loads(outcome.out)["cheapest"]["run"]["rank"] == 4


def test_status_1_where_nothing_is_within_the_limits() -> None:
    outcome = call(*RECOMMEND, *FEW, "--budget", "0.01")
    assert (outcome.status, outcome.err) == (1, "")
    assert "over budget by $" in " ".join(outcome.out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "0"], "--budget is 0 US dollars"),
        (["--budget", "nan"], "--budget is NaN"),
        (["--budget", "lots"], "--budget must be US dollars"),
        (["--deadline", "2020-01-01"], "is past"),
        (["--deadline", "0h"], "leaves no time"),
        (["--deadline", "soon"], "must be a span"),
        (["--provider", "lamda"], "did you mean 'lambda'"),
        (["--provider", "lambda", "--gpu", "rtx4090"], "--provider leaves no offer of those that --gpu leaves"),
        (["--gpu-memory", "24", "--gpu", "a100-80"], "--gpu-memory leaves no offer of those that --gpu leaves"),
        (["--gpus", "8", "--max-gpus", "4"], "--max-gpus leaves no offer of those that --gpus leaves"),
        (["--max-gpus", "0"], "--max-gpus is 0"),
        (["--max-gpus", "many"], "--max-gpus must be a whole number"),
        (["--gpu-memory", "big"], "--gpu-memory must be"),
        (["--market", "grey"], "--market must be"),
        (["--method", "magic"], "--method must be"),
        (["--rank", "0"], "--rank must be"),
        (["--epochs", "3"], "--epochs says nothing without a job"),
        (["--method", "full", "--quantization", "nf4"], "freezes"),
        (["--kernels", "unsloth"], "Unsloth"),
        (["--provider"], "needs a value"),
        (["--budgt", "5"], "did you mean '--budget'"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], said: str) -> None:
    outcome = call(*RECOMMEND, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_a_model_has_to_be_named() -> None:
    outcome = call("recommend")
    assert (outcome.status, outcome.out) == (2, "")
    assert "--model is missing" in outcome.err


def test_errors_are_json_too() -> None:
    outcome = call(*RECOMMEND, "--budget", "0", "--json")
    assert outcome.status == 2
    assert json.loads(outcome.out)["error"]["field"] == "budget"


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("12h", 12),
        ("90min", 1.5),
        ("30 m", 0.5),
        ("3d", 72),
        ("1.5 hours", 1.5),
        ("2026-11-22", 12),
        ("2026-11-24", 60),
    ],
)
def test_deadlines(text: str, hours: float) -> None:
    assert hours_until(text, datetime(2026, 11, 22, 12)) == hours


@pytest.mark.parametrize("text", ["", "12", "-3h", "yesterday", "2026-13-01", "nanh", "1e9h"])
def test_no_deadlines(text: str) -> None:
    with pytest.raises(InputError, match="--deadline must be"):
        hours_until(text, datetime(2026, 11, 22, 12))


def test_help() -> None:
    outcome = call("recommend", "--help")
    assert outcome.status == 0
    assert "--deadline WHEN" in outcome.out
    assert all(len(line) <= 80 for line in outcome.out.splitlines())

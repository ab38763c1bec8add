"""Time, job and cost on the command line of a plan."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from tests.lora_plan.cli import PLAN, call

DAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lora_plan.today.today", lambda: DAY)


def test_json_has_time_and_offers_under_the_names_of_the_design() -> None:
    data = json.loads(call(*PLAN, "--examples", "1k", "--tokens", "1M", "--epochs", "3", "--json").out)
    assert data["time"]["tokens_per_s"] == pytest.approx(data["time"]["tokens"] / data["time"]["step_s"])
    assert data["time"]["hours"] > 3e6 / data["time"]["tokens_per_s"] / 3600
    assert sum(term["seconds"] for term in data["time"]["terms"]) == pytest.approx(data["time"]["step_s"])
    assert data["time"]["step_s_interval"]["low"] <= data["time"]["step_s"] <= data["time"]["step_s_interval"]["high"]
    first = data["offers"][0]
    assert {"provider", "instance_type", "usd", "hours", "as_of", "source", "stale"} <= set(first)
    assert isinstance(first["usd"], str)


def test_without_a_card_there_is_neither() -> None:
    data = json.loads(call("--model", "llama-3.1-8b", "--json").out)
    assert (data["time"], data["offers"], data["cheaper"]) == (None, None, None)


def test_explain_time_adds_up() -> None:
    data = json.loads(call(*PLAN, "--explain", "time", "--json").out)
    assert {"matrix products", "recomputation", "optimizer"} <= {term["name"] for term in data["terms"]}
    assert call(*PLAN, "--explain", "time").out.startswith("Time of one optimizer step on A100-80GB-SXM\n")


def test_explain_time_needs_a_card() -> None:
    outcome = call("--model", "llama-3.1-8b", "--explain", "time")
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1 and "--gpu" in outcome.err


def test_a_card_of_ones_own_says_why_it_has_no_time() -> None:
    outcome = call("--model", "llama-3.1-8b", "--method", "qlora", "--gpu-memory", "24")
    assert outcome.status == 0
    assert "How long a step takes is not planned" in " ".join(outcome.out.split())


def test_a_dataset_gives_length_hours_and_cost(tmp_path: Path) -> None:
    file = tmp_path / "chat.jsonl"
    rows = [{"messages": [{"role": "user", "content": "x" * 40 * n}]} for n in range(1, 101)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    outcome = call("--model", "llama-3.1-8b", "--method", "qlora", "--gpu", "l4", "--dataset", str(file), "--json")
    data = json.loads(outcome.out)
    assert data["run"]["sequence_length"] == data["dataset"]["longest"]
    assert data["time"]["job"]["examples"] == 100
    assert data["offers"]


def test_a_broken_sheet_of_the_users_leaves_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").write_text("provider,usd\nx,1\n", encoding="utf-8")
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path))
    outcome = call(*PLAN, "--json")
    assert outcome.status == 0
    data = json.loads(outcome.out)
    assert data["offers"] is None and data["time"] is not None
    assert "mine.csv" in data["notes"][-1]

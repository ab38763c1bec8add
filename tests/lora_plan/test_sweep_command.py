"""`lora-plan sweep`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.lora_plan.cli import call

SWEEP = ("sweep", "--model", "llama-3.1-8b", "--method", "qlora", "--gpu", "l40s", "--kernels", "hf", "--max-gpus", "1")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_PLAN_PRICES", str(tmp_path / "none"))


def test_every_plan_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "plans.csv"
    outcome = call(*SWEEP, "--output", str(path))
    assert outcome.status == 0, outcome.err
    # checkpointing or not, 4 optimizers, 8 micro-batches
    assert outcome.out.startswith("64 plans in ")
    frame = pd.read_csv(path)
    assert len(frame) == 64
    assert set(frame.method) == {"qlora"} and set(frame.gpu) == {"L40S"}


def test_a_file_that_is_there_is_only_replaced_with_force(tmp_path: Path) -> None:
    path = tmp_path / "plans.csv"
    path.write_text("mine")
    outcome = call(*SWEEP, "--output", str(path))
    assert (outcome.status, path.read_text()) == (2, "mine")
    assert "--force" in outcome.err
    assert call(*SWEEP, "--output", str(path), "--force").status == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "--output is missing"),
        (["--output", "plans.txt"], "must end in .csv or .parquet"),
        (["--output", "no/such/folder/plans.csv"], "no folder"),
        (["--budget", "5", "--output", "plans.csv"], "not known"),
    ],
)
def test_bad_input_is_one_sentence(options: list[str], said: str) -> None:
    outcome = call(*SWEEP, *options)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) == 1

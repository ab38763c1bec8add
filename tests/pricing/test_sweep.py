"""The whole grid as a table."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from planner.errors import InputError
from planner.plan import plan_memory
from planner.run import TrainingRun
from pricing.sweep import sweep
from pricing.sweep_file import check_path, write_sweep
from pricing.wishes import Wishes
from tests.pricing.offers import TODAY
from tests.pricing.recommendations import FIELDS, JOB, OFFERS

FIELDS = FIELDS | {"micro_batch_size": 2}
LORA = Wishes(methods=("lora",))


def test_a_row_for_each_plan_with_what_it_costs_least() -> None:
    one, *_ = sweep(FIELDS, JOB, LORA, offers=OFFERS, today=TODAY)
    assert {len(values) for values in one.values()} == {3 * 8}  # 3 cards; checkpointing or not, 4 optimizers
    frame = pd.DataFrame(one)
    fused = frame[(frame.gpu == "L40S") & (frame.optimizer == "adamw_torch_fused") & frame.gradient_checkpointing]
    (row,) = fused.to_dict("records")
    assert (row["market"], row["usd_per_hour"]) == ("spot", 0.60)
    assert row["rent_usd"] == pytest.approx(0.60 * row["rented_hours"])
    assert row["rented_hours"] > row["hours"]
    run = TrainingRun(
        model="llama-3.1-8b", method="lora", micro_batch_size=2, gradient_accumulation_steps=4, sequence_length=2048
    )
    assert abs(row["reserved_bytes"] - plan_memory(run, "L40S").peak_bytes.reserved) <= 8
    assert row["tokens_per_s"] == pytest.approx(2 * 4 * 2048 / row["step_s"])


@pytest.mark.parametrize("name", ["plans.csv", "plans.parquet"])
def test_both_formats_say_the_same(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = write_sweep(path, sweep(FIELDS, JOB, LORA, offers=OFFERS, today=TODAY))
    frame = pd.read_csv(path) if name.endswith("csv") else pd.read_parquet(path)
    assert len(frame) == rows == 3 * 8 + 2 * 8
    assert set(frame.strategy.fillna("none")) == {"none", "ddp", "fsdp"}
    assert np.isfinite(frame.hours).all()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_no_cell_is_taken_for_a_formula(tmp_path: Path) -> None:
    offers = [replace(OFFERS[0], provider="=1+1", instance_type="@SUM(A1)", region="+2")]
    path = tmp_path / "plans.csv"
    write_sweep(path, sweep(FIELDS, JOB, LORA, offers=offers, today=TODAY))
    with path.open(newline="") as lines:
        row = next(csv.DictReader(lines))
    assert (row["provider"], row["instance_type"], row["region"]) == ("'=1+1", "'@SUM(A1)", "'+2")


def test_a_sweep_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "plans.csv"
    path.write_text("old")

    def failing():
        yield next(iter(sweep(FIELDS, JOB, LORA, offers=OFFERS, today=TODAY)))
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_sweep(path, failing())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "plans.csv"
    path.write_text("old")
    with pytest.raises(InputError, match="there already"):
        check_path(str(path), force=False)
    assert check_path(str(path), force=True) == path


@pytest.mark.parametrize(
    ("name", "said"), [("plans.xlsx", "must end in"), ("no/such/plans.csv", "no folder"), ("\0.csv", "no folder")]
)
def test_paths_that_cannot_be_written(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_path(str(tmp_path / name), force=False)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        check_path(str(tmp_path / "folder.csv"), force=True)

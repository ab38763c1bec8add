"""Which interval a step's time has."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from planner.catalogue import find_gpu
from planner.time.rates import rates_of
from planner.time.spread import COVERAGE, DATA, OTHER, SEVERAL, spread
from tests.planner.time.timed import run_of, timed

WIDTHS = {
    row["generation"]: (float(row["low"]), float(row["high"]))
    for row in csv.DictReader((DATA / "spread.csv").read_text(encoding="utf-8").splitlines())
}


def factors(card: str, num_gpus: int = 1, *, measured: bool = True) -> tuple[float, float]:
    gpu = find_gpu(card).gpu
    run = run_of(num_gpus=num_gpus, strategy="ddp") if num_gpus > 1 else run_of()
    low, high, coverage, basis = spread(gpu, replace(rates_of(gpu), measured=measured), run)
    assert coverage == COVERAGE == 0.9
    assert basis
    return low, high


def test_a_generation_with_records_has_its_own() -> None:
    assert factors("a100-80") == factors("rtx-3090") == WIDTHS["Ampere"]
    assert factors("l40s") == factors("rtx-4090") == WIDTHS["Ada"]


def test_one_without_has_the_widest() -> None:
    assert factors("b200") == factors("t4") == factors("mi300x") == WIDTHS[OTHER]


def test_a_card_that_nobody_measured_has_the_widest_in_any_generation() -> None:
    assert factors("a10g", measured=False) == WIDTHS[OTHER]
    time = timed("a10g")
    assert time.high_s / time.step_s == pytest.approx(WIDTHS[OTHER][1])


def test_several_cards_are_a_class_of_their_own() -> None:
    assert factors("a100-80", 4) == factors("h100", 8) == WIDTHS[SEVERAL]


def test_what_has_no_records_reaches_further_than_what_has() -> None:
    low, high = WIDTHS[OTHER]
    for name, (their_low, their_high) in WIDTHS.items():
        assert their_low <= 1 <= their_high
        assert name == OTHER or (low < their_low and high > their_high)


def test_the_data_names_its_runs() -> None:
    rows = list(csv.DictReader((Path(DATA) / "spread.csv").read_text(encoding="utf-8").splitlines()))
    assert all(
        row["generation"] == OTHER or "runs, each predicted without its source: " in row["basis"] for row in rows
    )

"""Speeds scored: as shipped, held out, and somebody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from profiler.corpus.record import Record
from profiler.speed import score
from profiler.speed.held_out import Prediction
from profiler.speed.runs import published
from profiler.speed.score import score_speeds
from tests.planner.time.timed import timed as planned
from tests.profiler.speed.speeds import timed

MINE = Record(
    id="mine",
    model="Qwen/Qwen2.5-0.5B",
    method="lora",
    rank=8,
    target_modules=("q_proj", "v_proj"),
    micro_batch_size=2,
    seq_len=512,
    seq_note="packed",
    base_dtype="bfloat16",
    mixed_precision="no",
    optimizer="adamw_torch_fused",
    gradient_checkpointing=False,
    gpu="a100-80",
    tokens_per_s_per_gpu=20_000.0,
)


def test_a_row_of_ones_own_gets_what_a_plan_says() -> None:
    [row] = score_speeds([MINE])
    time = planned(
        rank=8,
        target_modules=("q_proj", "v_proj"),
        micro_batch_size=2,
        sequence_length=512,
        mixed_precision="no",
        gradient_checkpointing=False,
        optimizer="adamw_torch_fused",
    )
    assert row.predicted is not None
    assert row.predicted.tokens_per_s == pytest.approx(time.tokens_per_s)
    assert (row.predicted.low, row.predicted.high) == pytest.approx(time.tokens_per_s_interval)
    assert row.error == pytest.approx(time.tokens_per_s / 20_000 - 1)
    assert sum(term.seconds for term in row.terms) == pytest.approx(time.step_s)
    assert (row.held_out, row.held_out_error, row.coverage) == (None, None, 0.9)


def test_seconds_alone_become_a_speed() -> None:
    [row] = score_speeds([replace(MINE, tokens_per_s_per_gpu=None, step_s=0.1)])
    assert row.measured == pytest.approx(10_240)


def test_a_row_that_is_not_planned_says_why() -> None:
    vera, h20 = score_speeds([replace(MINE, method="vera"), replace(MINE, gpu="h20")])
    assert (vera.predicted, vera.error, vera.measured) == (None, None, 20_000)
    assert vera.reason == "the planner does not have the method 'vera'"
    assert h20.reason == "the card h20 is not in the catalogue"


def test_a_failure_of_ours_costs_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    real = score.speed_run
    monkeypatch.setattr(score, "speed_run", lambda record: 1 / 0 if record.id == "bad" else real(record))
    bad, good = score_speeds([replace(MINE, id="bad"), MINE])
    assert "an error of lora-plan itself (ZeroDivisionError" in bad.reason
    assert good.predicted is not None


def test_the_projects_own_rows_are_held_out_and_a_namesake_is_not() -> None:
    own = next(record for record in published() if record.id == "l40s-q-2048")
    row, namesake = score_speeds([own, replace(own, micro_batch_size=2)])
    assert row.held_out is not None and row.held_out_error is not None
    assert row.held_out.tokens_per_s != row.predicted.tokens_per_s if row.predicted else False
    assert namesake.held_out is None and namesake.predicted is not None


def test_predictions_of_a_calibration_that_is_under_way() -> None:
    [row] = score_speeds([MINE], {"mine": Prediction(0.05, 0.04, 0.08)})
    assert row.held_out is not None
    assert row.held_out.tokens_per_s == pytest.approx(1024 / 0.05)
    assert (row.held_out.low, row.held_out.high) == (pytest.approx(1024 / 0.08), pytest.approx(1024 / 0.04))


def test_errors_and_intervals() -> None:
    row = timed("a", 0.05, -0.2)
    assert (row.error, row.held_out_error) == (pytest.approx(0.05), pytest.approx(-0.2))
    assert row.within(row.predicted) is True
    assert row.within(row.held_out) is False
    assert timed("b", None).within(None) is None

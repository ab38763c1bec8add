"""A validation as JSON: every row under the names of the design, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from planner.units import GIB
from profiler.validate.summary import summarize
from reports.validation_json import validation_json
from tests.profiler.speed.speeds import timed
from tests.profiler.validate.samples import scored
from tests.reports.validations import explained, scores


def test_json_has_every_row_and_what_they_come_to() -> None:
    rows = scores()
    data: Any = validation_json("plan", ["runs.csv"], rows, summarize(rows), [explained(rows[0])], ["worse"])
    assert (data["engine"], data["corpus"], data["regressions"]) == ("plan", ["runs.csv"], ["worse"])
    first, *_, last = data["rows"]
    assert first == {
        "id": "a",
        "source": "bench",
        "level": "allocated",
        "measured": 100 * GIB,
        "predicted": 92 * GIB,
        "error": pytest.approx(-0.08),
        "reason": None,
        "low": 85 * GIB,
        "high": 99 * GIB,
        "coverage": None,
        "covered": True,
        "instant": "loss",
        "unknown": ["dropout", "attention"],
    }
    assert (last["predicted"], last["error"], last["reason"]) == (None, None, "the row does not state the settings")
    summary = data["summary"]
    assert summary["levels"][0]["median"] == pytest.approx(0.02)
    assert summary["levels"][0]["source"] is None
    assert [item["coverage"] for item in summary["sources"]] == [0.5, None, None]
    [worst] = data["worst"]
    assert worst["components"]["base_weights"] == 70 * GIB
    assert worst["run"]["method"] == "qlora"


def test_what_is_not_stated_is_null() -> None:
    rows = [scored("a", None, measured=0, level="")]
    data: Any = validation_json("plan", [], rows, summarize(rows), [], None)
    assert (data["rows"][0]["measured"], data["rows"][0]["level"]) == (None, None)
    assert (data["summary"]["levels"][0]["level"], data["regressions"]) == (None, None)


def test_speeds_have_rows_and_figures_of_their_own() -> None:
    rows = [timed("a", 0.02, -0.3), timed("b", None)]
    data: Any = validation_json("plan", [], [], summarize([]), [], None, rows)
    first, second = data["speeds"]["rows"]
    assert first == {
        "id": "a",
        "source": "bench",
        "gpu": "a100-80",
        "num_gpus": 1,
        "measured_tokens_per_s": 1000,
        "predicted_tokens_per_s": pytest.approx(1020),
        "low": pytest.approx(918),
        "high": pytest.approx(1122),
        "error": pytest.approx(0.02),
        "held_out_tokens_per_s": pytest.approx(700),
        "held_out_low": pytest.approx(630),
        "held_out_high": pytest.approx(770),
        "held_out_error": pytest.approx(-0.3),
        "coverage": 0.9,
        "reason": None,
        "terms": {"matrix products": 0.75, "exchange": 0.25},
    }
    assert (second["error"], second["held_out_error"], second["reason"]) == (None, None, "there are no formulas for it")
    [shipped], [held_out] = data["speeds"]["summary"]["shipped"], data["speeds"]["summary"]["held_out"]
    assert (shipped["source"], shipped["rows"], shipped["scored"], shipped["coverage"]) == ("bench", 2, 1, 1)
    assert (held_out["median"], held_out["coverage"]) == (pytest.approx(0.3), 0)
    assert validation_json("plan", [], [], summarize([]), [], None)["speeds"] is None

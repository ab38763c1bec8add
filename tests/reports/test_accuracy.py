"""The page on accuracy: scores of now, and the simulator's as they are committed."""

from __future__ import annotations

import pytest

from planner.errors import InputError
from planner.units import GIB
from profiler.corpus.sources import sources
from profiler.validate.score import Score
from profiler.validate.scoreboard import Board
from reports.accuracy import committed, corpus_scores
from reports.accuracy_page import EXPLAINED
from tests.reports.scores import scored

ROWS = [
    scored("near", 100, 101, half_width=0.05),
    scored("far", 100, None, reason="a method that is not known"),
]


@pytest.fixture(scope="module")
def scores() -> dict[str, list[Score]]:
    return corpus_scores()


def test_every_source_is_described_and_every_explained_run_is_a_record(scores: dict[str, list[Score]]) -> None:
    assert {row.source for row in scores["plan"]} <= set(sources())
    assert set(EXPLAINED) <= {row.id for row in scores["plan"]}


def test_committed_errors_become_predictions_without_the_plans_interval() -> None:
    near, far = committed(ROWS, Board((), {"near": None, "far": -0.0312}, {"near": "it has none"}))
    assert (near.predicted, near.low, near.high) == (None, None, None)
    assert near.reason == "it has none"
    assert far.predicted == pytest.approx(96.88 * GIB, abs=1)
    assert far.error == pytest.approx(-0.0312)
    assert far.reason == ""


@pytest.mark.parametrize("errors", [{}, {"near": 0.0}, {"near": 0.0, "far": 0.0, "gone": 0.0}])
def test_errors_of_other_records(errors: dict[str, float | None]) -> None:
    with pytest.raises(InputError, match="--engine simulate"):
        committed(ROWS, Board((), errors))

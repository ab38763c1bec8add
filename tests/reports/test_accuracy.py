"""The page on accuracy is written and checked by one command."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from planner.units import GIB
from profiler.corpus.sources import sources
from profiler.validate.score import Score
from profiler.validate.scoreboard import Board
from reports import accuracy
from reports.accuracy import committed, corpus_scores, stale, write
from reports.accuracy_page import EXPLAINED
from tests.profiler.speed.speeds import timed
from tests.reports.scores import scored

ROWS = [
    scored("near", 100, 101, half_width=0.05),
    scored("far", 100, None, reason="a method that is not known"),
]


@pytest.fixture(scope="module")
def scores() -> dict[str, list[Score]]:
    return corpus_scores()


def test_what_is_committed_is_of_todays_scores(scores: dict[str, list[Score]]) -> None:
    assert stale(scores, accuracy.FOLDER) == [], f"run `{accuracy.WRITE}`"


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


def test_what_was_written_is_current_until_a_score_changes(tmp_path: Path) -> None:
    assert stale({"plan": ROWS}, tmp_path) == ["accuracy.md", "accuracy.svg", "speed.svg"]
    write({"plan": ROWS}, tmp_path)
    assert stale({"plan": ROWS}, tmp_path) == []
    assert stale({"plan": [scored("near", 100, 102), *ROWS[1:]]}, tmp_path) == ["accuracy.md", "accuracy.svg"]


def test_speeds_are_on_the_page_and_in_a_picture_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write({"plan": ROWS}, tmp_path)
    speeds = [timed("a", 0.02, 0.05), timed("b", 0.1, 0.2, source="other")]
    monkeypatch.setattr(accuracy, "_speeds", lambda: speeds)
    assert stale({"plan": ROWS}, tmp_path) == ["accuracy.md", "speed.svg"]
    write({"plan": ROWS}, tmp_path)
    assert stale({"plan": ROWS}, tmp_path) == []


def test_a_reason_is_on_the_page_alone(tmp_path: Path) -> None:
    write({"plan": ROWS}, tmp_path)
    assert stale({"plan": [ROWS[0], scored("far", 100, None, reason="another")]}, tmp_path) == ["accuracy.md"]


def test_check_names_what_is_not_current_and_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accuracy, "corpus_scores", lambda: {"plan": ROWS})
    monkeypatch.setattr(accuracy, "FOLDER", tmp_path)
    assert accuracy.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "accuracy.md and accuracy.svg and speed.svg; run `python -m reports.accuracy --write`" in said
    assert accuracy.main(["--write"]) == 0
    assert accuracy.main(["--check"]) == 0
    (tmp_path / "accuracy.md").write_text("# How accurate it was\n")
    assert accuracy.main(["--check"]) == 1
    assert "not current: accuracy.md;" in capsys.readouterr().err


def test_an_error_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> dict[str, list[Score]]:
        raise InputError("the corpus is gone; restore it")

    monkeypatch.setattr(accuracy, "corpus_scores", fail)
    assert accuracy.main(["--check"]) == 2
    assert capsys.readouterr().err == "accuracy: the corpus is gone; restore it\n"

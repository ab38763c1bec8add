"""The page on accuracy, and its pictures: every engine beside published runs.

The plan is scored anew, which takes a few seconds. A simulation of every record takes minutes: the simulator's errors
are those committed in `profiler/corpus/scoreboard.json`, which `REFRESH` writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from planner.errors import InputError
from profiler.corpus.record import CORPUS, read_records
from profiler.speed.runs import published
from profiler.speed.score import SpeedScore, score_speeds
from profiler.speed.summary import summarize_speeds
from profiler.validate.phases import PhaseScore, read_phases, score_phases
from profiler.validate.score import Score
from profiler.validate.scoreboard import Board, read_board
from profiler.validate.scoring import score_records
from reports.accuracy_page import PICTURE, SPEED_PICTURE, accuracy_page
from reports.accuracy_picture import SPEED, accuracy_picture, points, speed_points

PAGE = "accuracy.md"
REFRESH = "python -m profiler.validate.scoreboard --write --engine simulate"


def corpus_scores() -> dict[str, list[Score]]:
    """Each engine's scores of the project's records: the plan's of now, and the simulator's as committed.

    Raises `InputError` where none are committed, or those of other records.
    """
    planned = score_records(read_records(CORPUS), "plan")
    return {"plan": planned, "simulate": committed(planned, read_board("simulate"))}


def committed(rows: Sequence[Score], board: Board) -> list[Score]:
    """These rows as the committed errors of another engine have them, which has no intervals.

    Raises `InputError` where the errors are of other rows.
    """
    if {row.id for row in rows} != set(board.errors):
        raise InputError(f"the committed errors of the simulator are of other records; run `{REFRESH}` (minutes)")
    return [_committed(row, board.errors[row.id], board.reasons.get(row.id, "")) for row in rows]


def _committed(row: Score, error: float | None, reason: str) -> Score:
    predicted = None if error is None else round(row.measured * (1 + error))
    prediction = replace(row, predicted=predicted, low=None, high=None, instant=None, components={})
    return replace(prediction, reason=reason, covered=not reason)


def accuracy_files() -> dict[str, bytes]:
    """The page and its pictures as they are now, by the names of their files. Raises as `corpus_scores` does."""
    scores = corpus_scores()
    return {
        PAGE: _page(scores).encode(),
        PICTURE: accuracy_picture(points(scores)),
        SPEED_PICTURE: accuracy_picture(speed_points(_speeds()), quantity=SPEED),
    }


def _page(scores: Mapping[str, Sequence[Score]]) -> str:
    return accuracy_page(scores, phases=_phases(), speeds=summarize_speeds(_speeds()))


@cache
def _speeds() -> list[SpeedScore]:
    return score_speeds(published())


@cache
def _phases() -> list[PhaseScore]:
    return score_phases(read_phases())

"""The page on how accurate the engines are: `python -m reports.accuracy (--write | --check)`.

The plan is scored anew, which takes a few seconds. A simulation of every record takes minutes: the simulator's errors
are those committed in `profiler/corpus/scoreboard.json`, which `REFRESH` writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from planner.errors import InputError
from profiler.corpus.record import CORPUS, read_records
from profiler.speed.runs import published
from profiler.speed.score import SpeedScore, score_speeds
from profiler.speed.summary import summarize_speeds
from profiler.validate.phases import PhaseScore, read_phases, score_phases
from profiler.validate.score import Score
from profiler.validate.scoreboard import Board, read_board
from profiler.validate.scoring import score_records
from profiler.whole_file import whole_file
from reports.accuracy_page import PICTURE, SPEED_PICTURE, WRITE, accuracy_page
from reports.accuracy_picture import SPEED, accuracy_picture, points, speed_points, table, table_in

FOLDER = Path(__file__).parent
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


def write(scores: Mapping[str, Sequence[Score]], folder: Path) -> None:
    """Write the page and its pictures. Raises `InputError` and `OSError`."""
    for name, content in {
        PAGE: _page(scores).encode(),
        PICTURE: accuracy_picture(points(scores)),
        SPEED_PICTURE: accuracy_picture(speed_points(_speeds()), quantity=SPEED),
    }.items():
        with whole_file(folder / name) as file:
            file.write(content)


def stale(scores: Mapping[str, Sequence[Score]], folder: Path) -> list[str]:
    """The names of those of the three files that are missing or not of these scores."""
    page, picture, speeds = (
        path.read_text(encoding="utf-8") if path.exists() else ""
        for path in (folder / PAGE, folder / PICTURE, folder / SPEED_PICTURE)
    )
    current = {
        PAGE: page == _page(scores),
        PICTURE: table_in(picture) == table(points(scores)),
        SPEED_PICTURE: table_in(speeds) == table(speed_points(_speeds()), SPEED),
    }
    return [name for name, is_current in current.items() if not is_current]


def _page(scores: Mapping[str, Sequence[Score]]) -> str:
    return accuracy_page(scores, phases=_phases(), speeds=summarize_speeds(_speeds()))


@cache
def _speeds() -> list[SpeedScore]:
    return score_speeds(published())


@cache
def _phases() -> list[PhaseScore]:
    return score_phases(read_phases())


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and its pictures, or say whether they are current: 0, or 1 where they are not."""
    parser = argparse.ArgumentParser(prog="python -m reports.accuracy", description="The page on accuracy.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help=f"write {PAGE}, {PICTURE} and {SPEED_PICTURE}")
    what.add_argument("--check", action="store_true", help="exit with 1 where they are not current")
    options = parser.parse_args(arguments)
    try:
        scores = corpus_scores()
        if options.write:
            write(scores, FOLDER)
        old = [] if options.write else stale(scores, FOLDER)
    except (InputError, OSError) as error:
        print(f"accuracy: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if old:
        print(f"not current: {' and '.join(old)}; run `{WRITE}`", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

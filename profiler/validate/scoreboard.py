"""The committed figures of each engine on the project's corpus, and what became worse than they say.

`python -m profiler.validate.scoreboard --write [--engine plan|simulate]` writes them anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from planner.errors import InputError
from profiler.corpus.record import CORPUS, read_records
from profiler.speed.runs import published
from profiler.speed.score import SpeedScore, score_speeds
from profiler.speed.summary import SpeedFigures, summarize_speeds
from profiler.validate.engines import ENGINES
from profiler.validate.score import Score
from profiler.validate.scoring import score_records
from profiler.validate.summary import Figures, summarize

SCOREBOARD = Path(__file__).parents[1] / "corpus" / "scoreboard.json"
COMMAND = "python -m profiler.validate.scoreboard --write --engine {}"
TOLERANCE = 0.0005
"""What an error may grow by and count as the same: 0.05 percentage points."""

SPEED = "speed"
"""In place of a level."""

_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Standing:
    """The figures of one source and level. Errors are relative, to a hundredth of a percentage point."""

    source: str
    level: str
    rows: int
    scored: int
    median: float | None
    """Of the absolute errors, as the 90th percentile. None where nothing is scored."""
    p90: float | None
    worst: float | None
    """Signed."""
    too_low: int
    """Rows under-estimated by more than 5 %."""
    coverage: float | None
    """Rows measured within their interval, as a share of those that have one."""


@dataclass(frozen=True, slots=True)
class SpeedStanding:
    """The figures of the speeds of one source, of all (no source), or of one of `profiler.speed.summary.GROUPS`.

    Errors are relative, to a hundredth of a percentage point.
    """

    source: str
    group: str
    rows: int
    scored: int
    median: float | None
    """By the constants as they are: of the absolute errors, as the 90th percentile. None where nothing is scored."""
    p90: float | None
    worst: float | None
    """Signed."""
    coverage: float | None
    held_out_median: float | None
    """Each row by the other sources alone, here and below."""
    held_out_p90: float | None
    held_out_worst: float | None
    held_out_coverage: float | None


@dataclass(frozen=True, slots=True)
class Board:
    """What one engine comes to."""

    standings: tuple[Standing, ...]
    errors: dict[str, float | None]
    """Id of a row -> its signed error; None where it was abstained from."""
    reasons: dict[str, str] = field(default_factory=dict[str, str])
    """Id of a row that was abstained from -> why."""
    speeds: tuple[SpeedStanding, ...] = ()
    """Of the plan alone."""

    def at(self, level: str) -> Board:
        """The standings of one level alone, `speed` among them."""
        standings = tuple(standing for standing in self.standings if standing.level == level)
        return Board(standings, self.errors, self.reasons, self.speeds if level == SPEED else ())


def board_of(scores: Sequence[Score], speeds: Sequence[SpeedScore] = ()) -> Board:
    """The figures to commit."""
    standings = tuple(_standing(figures) for figures in summarize(scores).sources)
    errors = {row.id: _rounded(row.error) for row in scores}
    reasons = {row.id: row.reason for row in scores if row.error is None}
    summary = summarize_speeds(speeds)
    held_out = {(figures.source, figures.group): figures for figures in summary.held_out}
    timed = tuple(
        _speed_standing(figures, held_out.get((figures.source, figures.group))) for figures in summary.shipped
    )
    return Board(standings, errors, reasons, timed)


def read_board(engine: str, path: Path = SCOREBOARD) -> Board:
    """The committed figures of an engine. Raises `InputError` where it has none."""
    kept = _boards(path).get(engine)
    if kept is None:
        raise InputError(f"no figures of the engine {engine} are committed; write them with {COMMAND.format(engine)}")
    standings = tuple(Standing(**standing) for standing in kept["standings"])
    speeds = tuple(SpeedStanding(**standing) for standing in kept.get("speeds", ()))
    return Board(standings, kept["errors"], kept.get("reasons", {}), speeds)


def write_board(engine: str, board: Board, path: Path = SCOREBOARD) -> None:
    """Replace the committed figures of an engine."""
    boards = _boards(path) | {engine: asdict(board)}
    path.write_text(json.dumps(boards, indent=1) + "\n", encoding="utf-8", newline="\n")


def _boards(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def compare(old: Board, new: Board) -> list[str]:
    """What is worse in `new`, a sentence each: fewer rows scored, larger errors, more under-estimates."""
    now = {(standing.source, standing.level): standing for standing in new.standings}
    sentences: list[str] = []
    for before in old.standings:
        where = f"{before.source}, {before.level}"
        after = now.get((before.source, before.level))
        sentences += _fewer(where, before, after)
        if after is None:
            continue
        sentences += _larger(
            where,
            ("median absolute error", before.median, after.median, False),
            ("90th percentile", before.p90, after.p90, False),
            ("worst error", before.worst, after.worst, True),
        )
        if after.too_low > before.too_low:
            sentences.append(f"{where}: {after.too_low} rows more than 5 % too low, {before.too_low} before")
    return [*sentences, *_slower(old.speeds, new.speeds)]


def _slower(old: Sequence[SpeedStanding], new: Sequence[SpeedStanding]) -> list[str]:
    """What is worse in the speeds."""
    now = {(standing.source, standing.group): standing for standing in new}
    sentences: list[str] = []
    for before in old:
        where = f"speed, {before.source or before.group}"
        after = now.get((before.source, before.group))
        sentences += _fewer(where, before, after)
        if after is not None:
            sentences += _larger(
                where,
                ("median absolute error", before.median, after.median, False),
                ("90th percentile", before.p90, after.p90, False),
                ("median absolute error without its source", before.held_out_median, after.held_out_median, False),
                ("90th percentile without its source", before.held_out_p90, after.held_out_p90, False),
            )
    return sentences


def _fewer(where: str, before: Standing | SpeedStanding, after: Standing | SpeedStanding | None) -> list[str]:
    if after is None:
        return [f"{where}: no rows, {before.rows} before"]
    if after.scored < before.scored:
        return [f"{where}: {after.scored} rows scored, {before.scored} before"]
    return []


def _larger(where: str, *errors: tuple[str, float | None, float | None, bool]) -> list[str]:
    """errors: what it is, before, after, and whether it has a sign."""
    return [
        f"{where}: {what} {_percent(worse, signed)}, {_percent(than, signed)} before"
        for what, than, worse, signed in errors
        if than is not None and worse is not None and round(abs(worse) - abs(than), _DIGITS) > TOLERANCE
    ]


def _standing(figures: Figures) -> Standing:
    return Standing(
        source=figures.source or "",
        level=figures.level,
        rows=figures.rows,
        scored=figures.scored,
        median=_rounded(figures.median),
        p90=_rounded(figures.p90),
        worst=_rounded(figures.worst),
        too_low=figures.too_low,
        coverage=_rounded(figures.coverage),
    )


def _speed_standing(figures: SpeedFigures, held_out: SpeedFigures | None) -> SpeedStanding:
    return SpeedStanding(
        source=figures.source or "",
        group=figures.group,
        rows=figures.rows,
        scored=figures.scored,
        median=_rounded(figures.median),
        p90=_rounded(figures.p90),
        worst=_rounded(figures.worst),
        coverage=_rounded(figures.coverage),
        held_out_median=_rounded(held_out.median if held_out else None),
        held_out_p90=_rounded(held_out.p90 if held_out else None),
        held_out_worst=_rounded(held_out.worst if held_out else None),
        held_out_coverage=_rounded(held_out.coverage if held_out else None),
    )


def _rounded(value: float | None) -> float | None:
    # + 0.0: no -0.0
    return None if value is None else round(value, _DIGITS) + 0.0


def _percent(value: float, signed: bool) -> str:
    return f"{100 * value:{'+' if signed else ''}.2f} %"


def main(arguments: Sequence[str], path: Path = SCOREBOARD) -> int:
    """Say what is worse than committed, and write the figures anew where that is asked for.

    Gives 1 where something is worse and stays so.
    """
    parser = argparse.ArgumentParser(prog="scoreboard", description="An engine's figures on the project's corpus.")
    parser.add_argument("--engine", choices=tuple(ENGINES), default="plan", help="default: plan")
    parser.add_argument("--write", action="store_true", help="replace the committed figures")
    options = parser.parse_args(arguments)
    try:
        speeds = score_speeds(published()) if options.engine == "plan" else []
        board = board_of(score_records(read_records(CORPUS), options.engine), speeds)
        worse = compare(read_board(options.engine, path), board) if options.engine in _boards(path) else []
    except InputError as error:
        print(f"scoreboard: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for sentence in worse:
        print(sentence)  # noqa: T201
    if options.write:
        write_board(options.engine, board, path)
    return 1 if worse and not options.write else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

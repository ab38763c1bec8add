"""The scoreboard: what counts as worse, and that what is committed is what the engines come to now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from planner.errors import InputError
from profiler.corpus.record import CORPUS, read_records
from profiler.speed.runs import published
from profiler.speed.score import score_speeds
from profiler.validate import scoreboard
from profiler.validate.scoreboard import (
    COMMAND,
    TOLERANCE,
    Board,
    SpeedStanding,
    Standing,
    board_of,
    compare,
    main,
    read_board,
    write_board,
)
from profiler.validate.scoring import score_records
from tests.profiler.speed.speeds import timed
from tests.profiler.validate.samples import scored

STANDING = Standing(
    source="bench", level="allocated", rows=40, scored=39, median=0.01, p90=0.04, worst=-0.08, too_low=2, coverage=0.9
)
OLD = Board((STANDING,), {})

SPEED = SpeedStanding(
    source="bench",
    group="all",
    rows=9,
    scored=8,
    median=0.03,
    p90=0.1,
    worst=0.4,
    coverage=0.9,
    held_out_median=0.06,
    held_out_p90=0.2,
    held_out_worst=0.5,
    held_out_coverage=0.8,
)

SIMULATED = (
    "refs:37cdcc6d:36",
    "MetaMathQA:delora/llama-3.2-3B-rank32@2026-07-14T20:10:57+00:00",
    "refs:b15f5ead:100",
)
"""A row of each level, few enough to simulate in a test, and one of GPTQ, which is abstained from."""


def now(**changes: float | None) -> Board:
    return Board((replace(STANDING, **changes),), {})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scored": 38}, "bench, allocated: 38 rows scored, 39 before"),
        ({"median": 0.0106}, "bench, allocated: median absolute error 1.06 %, 1.00 % before"),
        ({"p90": 0.05}, "bench, allocated: 90th percentile 5.00 %, 4.00 % before"),
        ({"worst": 0.09}, "bench, allocated: worst error +9.00 %, -8.00 % before"),
        ({"too_low": 3}, "bench, allocated: 3 rows more than 5 % too low, 2 before"),
    ],
)
def test_what_is_worse_is_a_sentence(changes: dict[str, float], sentence: str) -> None:
    assert compare(OLD, now(**changes)) == [sentence]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"median": 0.0105, "p90": 0.0405, "worst": -0.0805},
        {"median": 0.001, "p90": 0.01, "worst": 0.02, "too_low": 0, "scored": 40},
        {"rows": 50, "coverage": 0.5},
    ],
    ids=["the same", "as much as is tolerated", "better", "neither"],
)
def test_what_is_not_worse(changes: dict[str, float]) -> None:
    assert compare(OLD, now(**changes)) == []


def test_a_source_that_is_gone_is_worse_and_a_new_one_is_not() -> None:
    assert compare(OLD, Board((), {})) == ["bench, allocated: no rows, 40 before"]
    assert compare(Board((), {}), OLD) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scored": 7}, "speed, bench: 7 rows scored, 8 before"),
        ({"median": 0.04}, "speed, bench: median absolute error 4.00 %, 3.00 % before"),
        ({"p90": 0.11}, "speed, bench: 90th percentile 11.00 %, 10.00 % before"),
        ({"held_out_median": 0.07}, "speed, bench: median absolute error without its source 7.00 %, 6.00 % before"),
        ({"held_out_p90": 0.3}, "speed, bench: 90th percentile without its source 30.00 %, 20.00 % before"),
    ],
)
def test_what_is_worse_in_speeds(changes: dict[str, float], sentence: str) -> None:
    old, new = (Board((), {}, speeds=(standing,)) for standing in (SPEED, replace(SPEED, **changes)))
    assert compare(old, new) == [sentence]


def test_what_is_not_worse_in_speeds() -> None:
    old = Board((), {}, speeds=(SPEED,))
    assert compare(old, Board((), {}, speeds=(replace(SPEED, median=0.02, coverage=0.1, worst=0.9),))) == []
    assert compare(old, Board((), {})) == ["speed, bench: no rows, 9 before"]
    assert compare(old.at("allocated"), Board((), {})) == []
    assert old.at("speed").speeds == (SPEED,)


def test_a_board_of_speeds() -> None:
    rows = [timed("a", 0.02, 0.05), timed("b", None), timed("c", 0.1, -0.2, source="other")]
    bench, _, every, *_ = board_of([], rows).speeds
    assert (bench.source, bench.group, bench.rows, bench.scored) == ("bench", "all", 2, 1)
    assert (bench.median, bench.held_out_median) == (0.02, 0.05)
    assert (every.source, every.worst, every.held_out_worst) == ("", 0.1, -0.2)


def test_nothing_scored_any_more_is_fewer_rows() -> None:
    nothing = now(scored=0, median=None, p90=None, worst=None, too_low=0, coverage=None)
    assert compare(OLD, nothing) == ["bench, allocated: 0 rows scored, 39 before"]


def test_one_level_alone() -> None:
    both = Board((STANDING, replace(STANDING, level="reserved")), {})
    assert both.at("reserved").standings == (replace(STANDING, level="reserved"),)


def test_an_engine_is_written_beside_the_others(tmp_path: Path) -> None:
    path = tmp_path / "scoreboard.json"
    plan = board_of([scored("a", -0.0300001), scored("b", None)])
    assert plan.errors == {"a": -0.03, "b": None}
    write_board("plan", plan, path)
    write_board("simulate", OLD, path)
    assert (read_board("plan", path), read_board("simulate", path)) == (plan, OLD)
    with pytest.raises(InputError, match="no figures of the engine guess are committed; write them with python -m"):
        read_board("guess", path)


def test_the_command_says_what_is_worse_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scoreboard.json"
    monkeypatch.setattr(scoreboard, "score_speeds", lambda *_: [timed("a", 0.02)])
    monkeypatch.setattr(scoreboard, "score_records", lambda *_: [scored("a", -0.02)])
    assert main(["--write"], path) == 0
    assert main([], path) == 0
    monkeypatch.setattr(scoreboard, "score_records", lambda *_: [scored("a", -0.03)])
    assert main([], path) == 1
    worse = "bench, allocated: worst error -3.00 %, -2.00 % before\n"
    assert worse in capsys.readouterr().out
    assert main(["--write"], path) == 0
    assert worse in capsys.readouterr().out
    assert main([], path) == 0


def test_the_committed_figures_are_those_of_today() -> None:
    scores, speeds = score_records(read_records(CORPUS)), score_speeds(published())
    committed, found = read_board("plan"), board_of(scores, speeds)
    assert compare(committed, found) == []
    assert found == committed, f"better, or of other rows: record it with `{COMMAND.format('plan')}`"


@pytest.mark.slow
def test_simulations_are_as_near_as_was_committed() -> None:
    records = [record for record in read_records(CORPUS) if record.id in SIMULATED]
    assert len(records) == len(SIMULATED)
    committed = read_board("simulate").errors
    for score in score_records(records, "simulate"):
        error = committed[score.id]
        if error is None:
            assert score.error is None, f"scored now: record it with `{COMMAND.format('simulate')}`"
        else:
            assert score.error == pytest.approx(error, abs=TOLERANCE), score.id

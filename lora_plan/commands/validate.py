"""`lora-plan validate`: an engine's predictions beside what was measured."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lora_plan.arguments import Arguments, Option
from lora_plan.commands.catalogue import helped
from lora_plan.errors import UsageError
from lora_plan.output import write, write_json
from lora_plan.progress import ProgressBar
from planner.errors import InputError

if TYPE_CHECKING:
    from profiler.corpus.record import Record
    from profiler.speed.score import SpeedScore
    from profiler.validate.score import Score
    from profiler.validate.scoreboard import Board

NAME = "validate"
HELP = (
    "Predicts runs whose memory or speed was measured, the project's collection of published ones unless --corpus "
    "names others, and prints how far off the predictions are: by level and source, with what they abstain from and "
    "why; for speeds also what would be said of each row if its source had never been seen. "
    "A corpus is a CSV file with a run a line; profiler/corpus/README.md of the project says what its columns mean."
)

NOT_MET = 1
VALIDATION, OUTPUT = "Validation", "Output"
PLAN, SPEED = "plan", "speed"
LONG = 1000
"""Rows from which estimates take so long that a bar is due."""

OPTIONS = (
    Option("corpus", "--corpus", VALIDATION, "FILE", "A CSV file of measured runs; may be given again.", repeated=True),
    Option(
        "engine",
        "--engine",
        VALIDATION,
        "NAME",
        "plan: the formulas; simulate: the real training stack on fake tensors, seconds a row. [default: plan]",
    ),
    Option(
        "level",
        "--level",
        VALIDATION,
        "NAME",
        "Only rows measured at this level, such as allocated or reserved; speed: only speeds.",
    ),
    Option("worst", "--worst", OUTPUT, "N", "Explain the N rows that the engine is furthest off on."),
    Option("json", "--json", OUTPUT, "", "Print JSON, with every row; sizes are in bytes."),
    Option("check", "--check", OUTPUT, "", "Exit with status 1 where figures are worse than the committed scoreboard."),
    Option("help", "--help", OUTPUT, "", "Print this."),
)


def run(ctx: typer.Context, arguments: Arguments) -> int:
    """Score an engine on measured runs; gives the exit status."""
    if helped(ctx, arguments):
        return 0
    from profiler.validate.summary import summarize
    from profiler.validate.worst import worst

    engine, count = _engine(arguments), _count(arguments)
    files, level = arguments.texts("corpus"), arguments.text("level")
    if files and arguments.on("check"):
        raise UsageError("--check is about the project's own corpus; leave out --corpus", field="check")
    wanted = None if level is None else level.strip().lower()
    if wanted == SPEED and engine != PLAN:
        raise InputError(f"--level {SPEED} is about the plan: the engine {engine} predicts no speeds", field="level")
    paths = [Path(file) for file in files]
    timed = _with_speed(paths, asked=wanted == SPEED) if engine == PLAN and wanted in (None, SPEED) else []
    records = [] if wanted == SPEED else _records(paths, level, but={record.id for record in timed})
    # before simulations, which take minutes
    committed = _committed(engine, wanted) if arguments.on("check") else None
    scores = _scores(records, engine, shown=not arguments.on("json"))
    speeds = _speeds(timed)
    summary = summarize(scores)
    explained = worst(records, scores, count)
    regressions = _worse(committed, scores, speeds) if committed is not None else None
    if arguments.on("json"):
        from reports.validation_json import validation_json

        corpus = [str(path) for path in paths] or _own(timed)
        write_json(validation_json(engine, corpus, scores, summary, explained, regressions, speeds or None))
    else:
        from profiler.speed.summary import summarize_speeds
        from reports.page import page_of
        from reports.validation import validation_text
        from reports.validation_speeds import furthest

        of_speeds = summarize_speeds(speeds) if speeds else None
        far = furthest(speeds, count) if wanted == SPEED or not records else []
        write(validation_text(engine, summary, explained, regressions, page_of(sys.stdout), of_speeds, far))
    return NOT_MET if regressions else 0


def _engine(arguments: Arguments) -> str:
    from profiler.validate.engines import ENGINES

    engine = arguments.text("engine")
    if engine is None:
        return PLAN
    if engine.strip().lower() not in ENGINES:
        from planner.names import did_you_mean
        from planner.run.wording import shown

        hint = did_you_mean(engine, ENGINES)
        raise InputError(f"--engine must be {' or '.join(ENGINES)}, not {shown(engine)}{hint}", field="engine")
    return engine.strip().lower()


def _count(arguments: Arguments) -> int:
    text = arguments.text("worst")
    if text is None:
        return 0
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10 and int(digits)):
        from planner.run.wording import shown

        raise InputError(f"--worst must be a whole number from 1, not {shown(text)}", field="worst")
    return int(digits)


def _records(files: Sequence[Path], level: str | None, but: set[str]) -> list[Record]:
    """The records of all files that were measured at `level`; those named in `but` only if they have a peak."""
    from profiler.corpus.record import CORPUS, read_records

    records = [record for path in files or [CORPUS] for record in read_records(path)]
    if level is None:
        return [record for record in records if record.peak_bytes is not None or record.id not in but]
    found = list(dict.fromkeys(record.level for record in records if record.level))
    wanted = level.strip().lower()
    records = [record for record in records if record.level and record.level.lower() == wanted]
    if not records:
        from planner.run.wording import shown

        there = f"they are at {', '.join(found[:10])}" if found else "none says its level"
        raise InputError(f"--level: no run was measured at {shown(level)}; {there}", field="level")
    return records


def _with_speed(files: Sequence[Path], *, asked: bool) -> list[Record]:
    """The records of all files with a speed; those of the project where there are no files."""
    from profiler.corpus.record import read_records
    from profiler.speed.runs import published, with_speed

    found = with_speed(record for path in files for record in read_records(path)) if files else list(published())
    if asked and not found:
        raise InputError(
            f"--level {SPEED}: no run has a speed; give tokens_per_s_per_gpu or step_s of some", field="level"
        )
    return found


def _speeds(records: Sequence[Record]) -> list[SpeedScore]:
    if not records:
        return []
    from profiler.speed.score import score_speeds

    return score_speeds(records)


def _own(timed: Sequence[Record]) -> list[str]:
    """The project's own files that were read."""
    from profiler.corpus.record import CORPUS
    from profiler.speed.runs import SPEEDS

    return [str(CORPUS), *([str(SPEEDS)] if timed else [])]


def _scores(records: Sequence[Record], engine: str, *, shown: bool) -> list[Score]:
    from profiler.validate.scoring import score_records

    if not shown or (engine == PLAN and len(records) < LONG):
        return score_records(records, engine)
    bar = ProgressBar()

    def tell(done: int, of: int) -> None:
        bar.tell(f"{done:,} of {of:,} rows", done / of)

    with contextlib.closing(bar):
        return score_records(records, engine, tell)


def _committed(engine: str, level: str | None) -> Board:
    """The committed figures of the levels that were asked for."""
    from profiler.validate.scoreboard import read_board

    board = read_board(engine)
    return board if level is None else board.at(level)


def _worse(committed: Board, scores: Sequence[Score], speeds: Sequence[SpeedScore]) -> list[str]:
    from profiler.validate.scoreboard import board_of, compare

    return compare(committed, board_of(scores, speeds))

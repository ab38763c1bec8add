"""`score_records`: an engine asked about every record, simulations in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from planner.errors import Abstention, InputError
from profiler.corpus.not_covered import NotCovered
from profiler.corpus.record import Record
from profiler.validate.engines import ENGINES
from profiler.validate.score import Score

LEVELS = ("allocated", "reserved", "process")
"""Those that engines predict."""


def _silent(_done: int, _of: int) -> None:
    """Tell nobody."""


def score_records(
    records: Sequence[Record], engine: str = "plan", progress: Callable[[int, int], None] = _silent
) -> list[Score]:
    """The score of each record, in their order, by an engine's name; `progress` is told how many of how many are.

    Raises `InputError` where the engine is the simulator and the training stack is not installed.
    """
    if engine == "plan":
        scores: list[Score] = []
        for done, record in enumerate(records):
            progress(done, len(records))
            scores.append(_score(engine, record))
        return scores
    # the plan needs none of what starting processes takes
    from profiler.simulate.stack import versions
    from profiler.validate.processes import in_processes

    versions()  # raises, where otherwise every row would abstain for want of the same library
    return in_processes(partial(_score, engine), records, progress)


def _score(engine: str, record: Record) -> Score:
    empty = Score(
        id=record.id,
        source=record.source,
        model=record.model,
        method=record.method,
        kernels=record.kernels or "",
        level=record.level or "",
        measured=record.peak_bytes or 0,
    )
    if record.peak_bytes is None:
        return replace(empty, reason="no peak was measured")
    if record.level is None:
        return replace(empty, reason="the source does not say what its peak counts")
    if record.level not in LEVELS:
        return replace(empty, reason=f"the level {record.level} is not predicted")
    try:
        prediction = ENGINES[engine](record)
    except (Abstention, InputError) as error:
        # of several GPUs no engine has all that a record can state, and the simulator nothing
        has = not isinstance(error, NotCovered) and record.n_gpus in (None, 1)
        return replace(empty, reason=error.reason if isinstance(error, Abstention) else str(error), covered=has)
    except Exception as error:
        # one row that lora-plan fails on must not take the others' scores with it
        failure = f"an error of lora-plan itself ({type(error).__name__}: {str(error)[:200]}); please report it"
        return replace(empty, reason=failure)
    memory = prediction.memory
    predicted: int | None = getattr(memory.peak_bytes, record.level)
    if predicted is None:
        return replace(empty, reason="the process level needs the card, whose CUDA context it counts")
    stated = prediction.intervals.get(record.level)
    return replace(
        empty,
        predicted=predicted,
        low=stated.low if stated else None,
        high=stated.high if stated else None,
        coverage=stated.coverage if stated else None,
        instant=memory.instant,
        components=memory.peak.components,
        unknown=prediction.unknown,
    )

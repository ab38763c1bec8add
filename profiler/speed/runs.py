"""From a record to the run whose speed it published: its batches as they were on average, not at their longest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from planner.architecture.modules import Architecture
from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention, InputError
from planner.memory.profile import RunProfile
from planner.plan import resolved_run
from planner.run import TrainingRun
from planner.time.rates import rates_of
from planner.time.step import work_profile
from profiler.corpus.mapping import stated_run
from profiler.corpus.record import CORPUS, Record, read_records
from profiler.corpus.sources import sources

SPEEDS = CORPUS.parent / "speeds.csv"
"""Records of speed alone, in the corpus's schema."""

MODELS = CORPUS.parent / "models"

UNLINKED = "no NVLink"
"""In the note of a run whose cards were not joined by the link that they can have."""


@dataclass(frozen=True, slots=True)
class SpeedRun:
    """A run with a measured speed."""

    record: Record
    run: TrainingRun
    architecture: Architecture
    gpu: Gpu
    profile: RunProfile
    """`work_profile` of the run."""
    step_s: float
    """Measured: seconds of one optimizer step."""


def with_speed(records: Iterable[Record]) -> list[Record]:
    """The records that publish a speed; of several with one speed of one run (measured at two levels) the first."""
    seen: set[tuple[object, ...]] = set()
    found: list[Record] = []
    for record in records:
        if record.tokens_per_s_per_gpu is None and record.step_s is None:
            continue
        key = (record.source, record.id.removesuffix("-alloc"), record.tokens_per_s_per_gpu, record.step_s)
        if key not in seen:
            seen.add(key)
            found.append(record)
    return found


@cache
def published() -> tuple[Record, ...]:
    """The project's own records with a speed."""
    return tuple(with_speed([*read_records(CORPUS), *read_records(SPEEDS)]))


def speed_run(record: Record) -> SpeedRun:
    """The run behind a record's speed.

    Raises `Abstention` (`NotCovered` among them) and `InputError` as `stated_run` and `run_profile` do.
    """
    stated = stated_run(_shaped(record))
    if stated.gpu is None:
        raise Abstention(f"the card {record.gpu or '(not stated)'} is not in the catalogue")
    gpu = find_gpu(stated.gpu).gpu
    if UNLINKED in record.note:
        gpu = replace(gpu, link="", link_bandwidth=None)
    run = stated.run
    source = sources().get(record.source)
    if record.seq_len is None and source is not None and source.mean_tokens is not None:
        run = run.replace(sequence_length=source.mean_tokens)
    _, architecture, run = resolved_run(run)
    profile = work_profile(architecture, run)
    rates_of(gpu)  # raises for a card whose rates are not known
    return SpeedRun(record, run, architecture, gpu, profile, _step_s(record, run))


def predictable(records: Iterable[Record]) -> list[SpeedRun]:
    """The runs behind those records that the planner can time."""
    runs: list[SpeedRun] = []
    for record in records:
        try:
            runs.append(speed_run(record))
        except (Abstention, InputError):
            continue
    return runs


def step_tokens(run: TrainingRun) -> int:
    """Tokens of an optimizer step on one GPU."""
    return run.micro_batch_size * run.sequence_length * run.gradient_accumulation_steps


def _step_s(record: Record, run: TrainingRun) -> float:
    """Tokens per second go before seconds, which some sources print of a micro-batch."""
    if record.tokens_per_s_per_gpu is not None:
        return step_tokens(run) / record.tokens_per_s_per_gpu
    assert record.step_s is not None
    return record.step_s


def _shaped(record: Record) -> Record:
    """The record with the config of a model that has none on the hub."""
    own = MODELS / f"{record.model}.json"
    known = "/" not in record.model and own.exists()
    return replace(record, model=str(own)) if known else record


def sources_of(runs: Sequence[SpeedRun]) -> tuple[str, ...]:
    """Their sources, in order."""
    return tuple(dict.fromkeys(item.record.source for item in runs))

"""`SpeedScore`: the tokens per second that the planner says of a record, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from planner.errors import Abstention, InputError
from planner.time.rates import efficiency, rates_of
from planner.time.spread import spread
from planner.time.step import step_terms
from planner.time.step_time import Term
from profiler.corpus.record import Record
from profiler.speed.held_out import Prediction, read_held_out
from profiler.speed.runs import SpeedRun, published, speed_run, step_tokens


@dataclass(frozen=True, slots=True)
class Speed:
    """A prediction in tokens per second and GPU, padding included."""

    tokens_per_s: float
    low: float
    high: float
    """Slow and fast end of the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedScore:
    """One record with a speed, scored or abstained from."""

    id: str
    source: str
    model: str
    method: str
    kernels: str
    gpu: str
    num_gpus: int
    measured: float | None
    """Tokens per second and GPU. None where the source states seconds alone and the run is not known."""
    predicted: Speed | None = None
    """By the constants as they are shipped, which were fitted on this record too where it is the project's own."""
    held_out: Speed | None = None
    """By constants and widths of the other sources alone. None for a record that nothing was fitted on."""
    coverage: float | None = None
    """The share of runs that the intervals are to hold."""
    reason: str = ""
    """Why there is no prediction."""
    run: SpeedRun | None = None
    terms: tuple[Term, ...] = ()
    """Lines of the predicted step, as shipped."""

    @property
    def error(self) -> float | None:
        """Signed and relative: 0.05 is 5 % too fast."""
        return self._error(self.predicted)

    @property
    def held_out_error(self) -> float | None:
        """The same without the record's source."""
        return self._error(self.held_out)

    def _error(self, speed: Speed | None) -> float | None:
        return None if speed is None or self.measured is None else speed.tokens_per_s / self.measured - 1

    def within(self, speed: Speed | None) -> bool | None:
        """Whether the measurement lies in the interval of a prediction; None without one."""
        return None if speed is None or self.measured is None else speed.low <= self.measured <= speed.high


def score_speeds(records: Iterable[Record], known: Mapping[str, Prediction] | None = None) -> list[SpeedScore]:
    """The score of each record, which all have a speed.

    known: predictions without the records' sources, by id; those that are kept for the project's own records, unless
    given.
    """
    own = {record.id: record for record in published()} if known is None else {}
    kept = read_held_out() if known is None else known
    scores: list[SpeedScore] = []
    for record in records:
        # somebody's row of the same name is not the one that was held out
        held = kept.get(record.id) if known is not None or own.get(record.id) == record else None
        scores.append(_score(record, held))
    return scores


def _score(record: Record, held_out: Prediction | None) -> SpeedScore:
    empty = SpeedScore(
        id=record.id,
        source=record.source,
        model=record.model,
        method=record.method,
        kernels=(record.kernels or "hf").lower(),
        gpu=record.gpu or "",
        num_gpus=record.n_gpus or 1,
        measured=record.tokens_per_s_per_gpu,
    )
    try:
        run = speed_run(record)
    except (Abstention, InputError) as error:
        return replace(empty, reason=error.reason if isinstance(error, Abstention) else str(error))
    except Exception as error:
        # one row that lora-plan fails on must not take the others' scores with it
        failure = f"an error of lora-plan itself ({type(error).__name__}: {str(error)[:200]}); please report it"
        return replace(empty, reason=failure)
    terms = tuple(step_terms(run.profile, run.run, run.gpu, efficiency()))
    step_s = sum(term.seconds for term in terms)
    low, high, coverage, _ = spread(run.gpu, rates_of(run.gpu), run.run)
    tokens = step_tokens(run.run)
    return replace(
        empty,
        measured=tokens / run.step_s,
        predicted=_speed(tokens, Prediction(step_s, step_s * low, step_s * high)),
        held_out=_speed(tokens, held_out) if held_out else None,
        coverage=coverage,
        run=run,
        terms=terms,
    )


def _speed(tokens: int, step: Prediction) -> Speed:
    return Speed(tokens / step.step_s, tokens / step.high_s, tokens / step.low_s)

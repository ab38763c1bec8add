"""What the scores of many speeds come to: by source, in all, and for the runs that most people have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from profiler.speed.score import SpeedScore
from profiler.validate.summary import percentile

GROUPS: Mapping[str, Callable[[SpeedScore], bool]] = {
    "one GPU": lambda score: score.num_gpus == 1,
    "one GPU, hf kernels": lambda score: score.num_gpus == 1 and score.kernels == "hf",
}
"""Told of beside the sources."""

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedFigures:
    """How near predictions come. Errors are relative: predicted / measured tokens per second - 1."""

    source: str | None
    """None: all sources."""
    group: str
    """`all`, or one of `GROUPS`."""
    rows: int
    scored: int
    sign: float | None
    """The median of the signed errors: above 0 where predictions are too fast. None where nothing is scored, here
    and below."""
    median: float | None
    """Of the absolute errors."""
    p90: float | None
    """The 90th percentile of the absolute errors."""
    worst: float | None
    """The error that is furthest from 0, signed."""
    held: int
    """Rows measured within their interval."""
    half_width: float | None
    """The median of (high - low) / 2 / predicted."""

    @property
    def coverage(self) -> float | None:
        """Rows measured within their interval, as a share of those scored."""
        return self.held / self.scored if self.scored else None


@dataclass(frozen=True, slots=True)
class SpeedSummary:
    """The figures of many speeds."""

    shipped: tuple[SpeedFigures, ...]
    """By the constants as they are: by source, of all, and of `GROUPS`."""
    held_out: tuple[SpeedFigures, ...]
    """Each row by the other sources alone; empty where no row was fitted on."""
    reasons: tuple[tuple[str, int], ...]
    """Why rows were abstained from and how many, the most frequent first."""


def summarize_speeds(scores: Sequence[SpeedScore]) -> SpeedSummary:
    """The figures of these scores."""
    known = any(score.held_out for score in scores)
    return SpeedSummary(
        shipped=_tables(scores, held_out=False),
        held_out=_tables(scores, held_out=True) if known else (),
        reasons=tuple(Counter(score.reason for score in scores if score.predicted is None).most_common()),
    )


def _tables(scores: Sequence[SpeedScore], *, held_out: bool) -> tuple[SpeedFigures, ...]:
    by_source: dict[str, list[SpeedScore]] = {}
    for score in scores:
        by_source.setdefault(score.source, []).append(score)
    figures = [_figures(source, ALL, rows, held_out=held_out) for source, rows in by_source.items()]
    if len(by_source) > 1:
        figures.append(_figures(None, ALL, scores, held_out=held_out))
        for name, chosen in GROUPS.items():
            rows = [score for score in scores if chosen(score)]
            if rows:
                figures.append(_figures(None, name, rows, held_out=held_out))
    return tuple(figures)


def _figures(source: str | None, group: str, scores: Sequence[SpeedScore], *, held_out: bool) -> SpeedFigures:
    pairs = [(score, score.held_out if held_out else score.predicted) for score in scores]
    errors = [error for score in scores if (error := score.held_out_error if held_out else score.error) is not None]
    sizes = [abs(error) for error in errors]
    widths = [(speed.high - speed.low) / 2 / speed.tokens_per_s for _, speed in pairs if speed is not None]
    return SpeedFigures(
        source=source,
        group=group,
        rows=len(scores),
        scored=len(errors),
        sign=median(errors) if errors else None,
        median=median(sizes) if sizes else None,
        p90=percentile(sizes, 0.9) if sizes else None,
        worst=max(errors, key=abs) if errors else None,
        held=sum(bool(score.within(speed)) for score, speed in pairs),
        half_width=median(widths) if widths else None,
    )

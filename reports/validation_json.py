"""A validation as JSON-like data: every row, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from profiler.speed.score import SpeedScore
from profiler.speed.summary import SpeedFigures, summarize_speeds
from profiler.validate.score import Score
from profiler.validate.summary import Figures, Summary
from profiler.validate.worst import Explained


def validation_json(
    engine: str,
    corpus: Sequence[str],
    scores: Sequence[Score],
    summary: Summary,
    worst: Sequence[Explained],
    regressions: Sequence[str] | None,
    speeds: Sequence[SpeedScore] | None = None,
) -> dict[str, object]:
    """Sizes are in bytes, errors signed and relative: -0.05 is 5 % too low. `corpus` holds the files' paths.

    Speeds are in tokens per second and GPU; None where they were not asked for.
    """
    return {
        "engine": engine,
        "corpus": list(corpus),
        "rows": [_row(score) for score in scores],
        "summary": {
            "sources": [_figures(figures) for figures in summary.sources],
            "levels": [_figures(figures) for figures in summary.levels],
            "reasons": [{"reason": reason, "rows": rows} for reason, rows in summary.reasons],
        },
        "worst": [_explained(row) for row in worst],
        "speeds": None if speeds is None else _speeds(speeds),
        "regressions": None if regressions is None else list(regressions),
    }


def _speeds(scores: Sequence[SpeedScore]) -> dict[str, object]:
    summary = summarize_speeds(scores)
    return {
        "rows": [_speed_row(score) for score in scores],
        "summary": {
            "shipped": [_speed_figures(figures) for figures in summary.shipped],
            "held_out": [_speed_figures(figures) for figures in summary.held_out],
            "reasons": [{"reason": reason, "rows": rows} for reason, rows in summary.reasons],
        },
    }


def _speed_row(score: SpeedScore) -> dict[str, object]:
    return {
        "id": score.id,
        "source": score.source,
        "gpu": score.gpu or None,
        "num_gpus": score.num_gpus,
        "measured_tokens_per_s": score.measured,
        "predicted_tokens_per_s": score.predicted.tokens_per_s if score.predicted else None,
        "low": score.predicted.low if score.predicted else None,
        "high": score.predicted.high if score.predicted else None,
        "error": score.error,
        "held_out_tokens_per_s": score.held_out.tokens_per_s if score.held_out else None,
        "held_out_low": score.held_out.low if score.held_out else None,
        "held_out_high": score.held_out.high if score.held_out else None,
        "held_out_error": score.held_out_error,
        "coverage": score.coverage,
        "reason": score.reason or None,
        "terms": {term.name: term.seconds for term in score.terms},
    }


def _speed_figures(figures: SpeedFigures) -> dict[str, object]:
    return {**asdict(figures), "coverage": figures.coverage}


def _row(score: Score) -> dict[str, object]:
    return {
        "id": score.id,
        "source": score.source,
        "level": score.level or None,
        "measured": score.measured or None,
        "predicted": score.predicted,
        "error": score.error,
        "reason": score.reason or None,
        "low": score.low,
        "high": score.high,
        "coverage": score.coverage,
        "covered": score.covered,
        "instant": score.instant,
        "unknown": list(score.unknown),
    }


def _figures(figures: Figures) -> dict[str, object]:
    return {
        **asdict(figures),
        "level": figures.level or None,
        "abstained_share": figures.abstained_share,
        "too_low_share": figures.too_low_share,
        "coverage": figures.coverage,
    }


def _explained(row: Explained) -> dict[str, object]:
    return {
        **_row(row.score),
        "components": dict(row.score.components),
        "run": row.run.to_dict(),
        "gpu": row.gpu,
        "fitted": list(row.fitted),
        "otherwise": list(row.otherwise),
    }

"""What the page on accuracy says, in Markdown: how near each engine comes to published runs, and where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from planner.memory.levels import COVERAGE, widths
from planner.memory.reserved import APART, FRESH, GAPS, LARGER_EVALUATION, UNUSED
from planner.time.spread import COVERAGE as SPEED_COVERAGE
from planner.units import GIB
from profiler.corpus.sources import Source, sources
from profiler.speed.fit import ON_ONE_CARD, ON_SEVERAL, PRIOR
from profiler.speed.summary import ALL, SpeedFigures, SpeedSummary
from profiler.validate.phases import PhaseScore, phase_table
from profiler.validate.score import Score
from profiler.validate.summary import Figures, summarize
from reports.accuracy_picture import BAND, SPEED
from reports.gallery import WRITE

PICTURE, SPEED_PICTURE = "accuracy.svg", "speed.svg"
"""Lie beside the page."""
WORST = 10
"""Runs shown of those furthest off."""

ENGINES = {
    "plan": "`plan`, the formulas",
    "simulate": "`simulate`, the training stack on fake tensors and PyTorch's allocator replayed",
}

FITTED: tuple[str, ...] = (
    "What PyTorch's allocator holds beyond live tensors, five shares "
    f"({APART}, {GAPS}, {UNUSED}, {LARGER_EVALUATION} and, where the cache is emptied between steps, {FRESH}; "
    "`planner/memory/reserved.py`): on 277 simulated runs of 38 models, replayed through the whole allocator, the last "
    "one on simulations of 60 rows of peft-metamathqa; on no measurement.",
    f"How far the intervals of {COVERAGE:.0%} reach: ±{widths()['allocated']:.1%} of what a step adds to weights and "
    f"states for allocated peaks, ±{widths()['reserved']:.1%} for reserved ones. They are quantiles of the plan's "
    "errors on the runs of this page whose settings are all stated, and on 185 other simulated runs; each source and "
    "model counts as one. `python -m profiler.validate.calibrate` says how many they hold of those held out. What a "
    "record does not state widens its interval, to what the plan says of the other runs that it may have been.",
    f"What a training step gets of a card: {len(ON_ONE_CARD) + len(ON_SEVERAL)} of the {len(PRIOR)} constants in "
    "`planner/time/data/efficiency.csv`, each drawn to what physics or a published measurement says of it "
    "(`profiler/speed/fit.py`), on the scored speeds of this page, a source weighing as the square root of its runs; "
    "and how far the intervals of a step's time reach (`planner/time/data/spread.csv`), by the errors of runs that "
    "were predicted without their source.",
)
"""Each constant of the formulas that is fitted, its value, and on what."""

EXPLAINED: dict[str, str] = {
    "MetaMathQA:hira/llama-3.2-3B-rank32-lr4e-3@2026-04-28T18:51:51+00:00": "its peak is that of `generate` for 50 "
    "sequences, within what the suite measures; training is simulated alone",
    "MetaMathQA:boft/llama-3.2-3B-default@2026-07-14T16:22:55+00:00": "`boft_P`, 2.1 GB of buffers, stays on the host "
    "in the suite: PEFT moves adapters alone, where `Trainer` moves the model",
}
"""Id of a run far off -> why it is."""


def accuracy_page(
    scores: Mapping[str, Sequence[Score]],
    *,
    fitted: Sequence[str] = FITTED,
    explained: Mapping[str, str] = EXPLAINED,
    facts: Mapping[str, Source] | None = None,
    phases: Sequence[PhaseScore] = (),
    speeds: SpeedSummary | None = None,
) -> str:
    """The page in Markdown, of each engine's scores of the same records. It shows `PICTURE`.

    `fitted` and `explained` are sentences; `facts` are the project's own of its sources, unless given. With `speeds` it
    shows `SPEED_PICTURE` too.
    """
    known = sources() if facts is None else facts
    named = [(name, known.get(name)) for name in _sources(scores)]
    parts = [
        "# How accurate it is",
        f"<!-- Written by `{WRITE}`: change that, not this. -->",
        _opening(scores),
        _figures(scores),
        _picture(scores),
        *_phases(phases),
        *_speeds(speeds),
        "## What is abstained from",
        _abstained(scores),
        "## What is fitted",
        _bullets([*fitted, *(_longest_batch(source) for _, source in named if source and source.longest_batch)]),
        "## The rows furthest off",
        _furthest(scores, explained),
        "## To see it yourself",
        f"```\nlora-plan validate\nlora-plan validate --engine simulate    # minutes\n{WRITE}    # this page\n```",
        "## Sources",
        _bullets(_source(source) if source else f"{name}: as its rows say." for name, source in named),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(scores: Mapping[str, Sequence[Score]]) -> str:
    """How near each engine comes, and to what, in a few lines."""
    every = next(iter(scores.values()))
    models, methods = (len({getattr(row, name) for row in every}) for name in ("model", "method"))
    measured = _count(sum(row.measured > 0 for row in every), "measured peak")
    lines = [
        f"{measured} of fine-tuning runs that others published ({_count(len(_sources(scores)), 'source')}, "
        f"{_count(models, 'model')}, {_count(methods, 'method')}), and what is predicted of the same runs.",
        "An error is predicted / measured - 1: below 0 is too low. What live tensors take (`allocated`, "
        "`torch.cuda.max_memory_allocated`) and what PyTorch's allocator holds (`reserved`) are never compared.",
        "",
    ]
    return "\n".join(
        [*lines, *(f"- {ENGINES.get(engine, engine)}: {_nearness(rows)}" for engine, rows in scores.items())]
    )


def _nearness(rows: Sequence[Score]) -> str:
    summary = summarize(rows)
    levels = [
        f"{figures.level} within {_percent(figures.median)} in the median, {_percent(figures.p90)} in nine runs of "
        f"ten, {_signed(figures.worst)} at worst ({_count(figures.scored, 'run')})"
        for figures in summary.levels
        if figures.scored
    ]
    abstained = sum(count for _, count in summary.reasons)
    return "; ".join([*levels, f"{abstained} of {len(rows)} abstained from"]) + "."


def _figures(scores: Mapping[str, Sequence[Score]]) -> str:
    lines = [
        "| engine | source | level | runs | scored | abstained | median error | median abs. | 90th percentile | worst "
        f"| > {BAND:.0%} too low | in the {_coverage(scores)}interval | its half width |",
        "|---|---|---|" + "---:|" * 10,
    ]
    for engine, rows in scores.items():
        summary = summarize(rows)
        for total in summary.levels:
            of_level = [figures for figures in summary.sources if figures.level == total.level]
            lines += [_line(engine, figures) for figures in (*of_level, *([total] if len(of_level) > 1 else []))]
    return "\n".join(lines)


def _coverage(scores: Mapping[str, Sequence[Score]]) -> str:
    """`90% `; nothing where no interval, or not every one, is meant to hold the same share of runs."""
    shares = {row.coverage for rows in scores.values() for row in rows if row.held is not None}
    return f"{shares.pop():.0%} " if len(shares) == 1 and None not in shares else ""


def _line(engine: str, figures: Figures) -> str:
    held = f"{figures.held} of {figures.intervals}" if figures.intervals else "–"
    cells = [
        engine,
        figures.source or "all",
        figures.level,
        str(figures.rows),
        str(figures.scored),
        str(figures.abstained),
        _signed(figures.sign),
        _percent(figures.median),
        _percent(figures.p90),
        _signed(figures.worst),
        "–" if figures.too_low_share is None else f"{figures.too_low_share:.1%}",
        held,
        "–" if figures.half_width is None else f"±{_percent(figures.half_width)}",
    ]
    return f"| {' | '.join(cells)} |"


def _picture(scores: Mapping[str, Sequence[Score]]) -> str:
    panels = " and ".join(scores)
    return (
        f"![Predicted against measured peaks of {panels}, in GiB on logarithmic axes: a mark a run, the diagonal, "
        f"and a band of {BAND:.0%} to either side of it]({PICTURE})"
    )


def _phases(scores: Sequence[PhaseScore]) -> list[str]:
    if not scores:
        return []
    return [
        "## Phase by phase",
        "A Llama of 1.1 billion parameters, without an optimizer: GB allocated once the model is made, after its "
        "forward pass and after its backward pass, as two notebooks of fsdp_qlora printed them, and the error of what "
        "the formulas say. The releases they ran are told by what they print (`profiler/validate/phases.py`).",
        phase_table(scores),
    ]


def _speeds(summary: SpeedSummary | None) -> list[str]:
    if summary is None:
        return []
    [total] = [figures for figures in summary.shipped if figures.source is None and figures.group == ALL]
    lines = [
        "| predicted | source | runs | scored | median error | median abs. | 90th percentile | worst | in the "
        f"{SPEED_COVERAGE:.0%} interval | its half width |",
        "|---|---|" + "---:|" * 8,
        *(_speed_line("by the other sources alone", figures) for figures in summary.held_out),
        *(_speed_line("as shipped", figures) for figures in summary.shipped),
    ]
    return [
        "## Speed",
        f"{_count(total.rows, 'published speed')} of training steps, and what the plan says of the same runs; it has a "
        f"time for {total.scored} of them. An error is predicted / measured tokens per second - 1: above 0 is too "
        "fast. Constants are fitted on these very runs; *by the other sources alone* says how near they come to a "
        "source that neither constants nor intervals know.",
        "\n".join(lines),
        f"![Predicted against measured tokens per second and GPU, by the other sources alone and as shipped, on "
        f"logarithmic axes: a mark a run, the diagonal, and a band of {SPEED.band:.0%} to either side of it]"
        f"({SPEED_PICTURE})",
    ]


def _speed_line(how: str, figures: SpeedFigures) -> str:
    cells = [
        how,
        figures.source or figures.group,
        str(figures.rows),
        str(figures.scored),
        _signed(figures.sign),
        _percent(figures.median),
        _percent(figures.p90),
        _signed(figures.worst),
        f"{figures.held} of {figures.scored}",
        "–" if figures.half_width is None else f"±{_percent(figures.half_width)}",
    ]
    return f"| {' | '.join(cells)} |"


def _abstained(scores: Mapping[str, Sequence[Score]]) -> str:
    parts: list[str] = []
    for engine, rows in scores.items():
        summary = summarize(rows)
        count = sum(count for _, count in summary.reasons)
        covered = sum(figures.abstained_covered for figures in summary.levels)
        which = f", {covered} of them with a method, kernels and a strategy that it has" if covered else ""
        parts.append(f"`{engine}`: {count} of {len(rows)} runs{which}.")
        parts.append(_bullets(_reasons(summary.reasons)))
    return "\n\n".join(parts)


def _reasons(reasons: Sequence[tuple[str, int]]) -> list[str]:
    """Reasons with their counts, the most frequent first; those that differ in the name at their end alone as one."""
    kinds: dict[str, list[tuple[str, int]]] = {}
    for reason, count in reasons:
        kind = reason.removesuffix("'").rpartition(" '")[0] if reason.endswith("'") else ""
        kinds.setdefault(kind or reason, []).append((reason, count))
    lines: list[tuple[int, str]] = []
    for kind, alike in kinds.items():
        total = sum(count for _, count in alike)
        if len(alike) == 1:
            lines.append((total, alike[0][0]))
        else:
            names = (f"{reason[len(kind) + 2 : -1]} {count}" for reason, count in alike)
            lines.append((total, f"{kind}: {', '.join(names)}"))
    return [f"{total}: {line}" for total, line in sorted(lines, key=lambda line: -line[0])]


def _furthest(scores: Mapping[str, Sequence[Score]], explained: Mapping[str, str]) -> str:
    """The runs that any engine is furthest off, with what each of the engines says."""
    lines = [
        f"| run | model, method, kernels | level | measured, GiB | {' | '.join(scores)} | why |",
        "|---|---|---|---:|" + "---:|" * len(scores) + "---|",
    ]
    of_run: dict[str, list[Score]] = {}
    for rows in scores.values():
        for row in rows:
            of_run.setdefault(row.id, []).append(row)
    distance = {
        name: max((abs(row.error) for row in rows if row.error is not None), default=0.0)
        for name, rows in of_run.items()
    }
    for name in sorted((name for name in of_run if distance[name]), key=lambda name: (-distance[name], name))[:WORST]:
        row = of_run[name][0]
        errors = " | ".join(_signed(row.error) for row in of_run[name])
        lines.append(
            f"| `{name}` | {row.model}, {row.method}, {row.kernels or 'not said'} | {row.level} "
            f"| {row.measured / GIB:.1f} | {errors} | {explained.get(name, 'not explained')} |"
        )
    return "\n".join(lines)


def _sources(scores: Mapping[str, Sequence[Score]]) -> list[str]:
    return list(dict.fromkeys(row.source for rows in scores.values() for row in rows))


def _longest_batch(source: Source) -> str:
    return (
        f"The longest batch of {source.name}, which it does not publish: {source.longest_batch} tokens, one number for "
        f'all of its runs of which it says "{source.longest_batch_of}".'
    )


def _source(source: Source) -> str:
    return f"[{source.name}]({source.url}), read at commit {source.commit}: {source.evidence}."


def _percent(value: float | None) -> str:
    """`12.5%`; below 1 % with two decimals."""
    return "–" if value is None else f"{100 * value:.{_decimals(value)}f}%"


def _signed(value: float | None) -> str:
    """`-12.5%`; `0.00%`, without a sign, for what rounds to nothing."""
    if value is None:
        return "–"
    text = f"{100 * value:+.{_decimals(value)}f}%"
    return text if any(digit in text for digit in "123456789") else text[1:]


def _decimals(value: float) -> int:
    return 2 if abs(value) < 0.01 else 1


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}" + ("" if count == 1 else "s")


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "Nothing."

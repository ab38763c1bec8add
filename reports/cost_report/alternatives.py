"""What else would do: changes to the run, and the frontier of other ways to do the job."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import cast

from planner.run import TrainingRun
from planner.search.space import FEWEST_SEQUENCES
from pricing.recommendation import Recommendation, Way
from reports.advice import advice
from reports.charts.chart import Point, Points
from reports.cost_report.content import CostReport
from reports.cost_report.other_ways import kept_fields
from reports.cost_report.words import bullets, worded
from reports.documents.blocks import Block, Bullets, Code, Folded, Paragraph, Picture, Section, Table, Words
from reports.figures import gib, gib_number
from reports.recommend import cards, caveats, command, memory_sentence, offer_of, outcome_sentence
from reports.time import duration
from reports.verdict import method_title

MARK = "*"


def alternatives_section(report: CostReport) -> Section | None:
    """None where nothing was looked for."""
    blocks = [*_changes(report), *_ways(report)]
    return Section("Alternatives", tuple(blocks)) if blocks else None


def _changes(report: CostReport) -> list[Block]:
    """The suggestions under their titles."""
    if report.plan is None:
        return []
    blocks: list[Block] = []
    for title, found in advice(report.plan, report.suggestions).items():
        rows = tuple(
            (one.text, gib(one.frees_bytes) if one.frees_bytes else "–", gib(one.reserved_bytes)) for one in found
        )
        blocks += [Paragraph(f"{title}:"), Table(("change", "frees", "peak reserved"), rows)]
    return blocks


def _ways(report: CostReport) -> list[Block]:
    found = report.others
    if found is None or isinstance(found, str):
        return [] if found is None else [Paragraph(worded(found))]
    searched = (
        f"{found.considered:,} candidates were searched: {found.plans:,} plans, of which {found.fitting:,} fit, on "
        f"{found.offers:,} offers"
    )
    of = "for 10 million tokens, as no job was given" if found.assumed_job else "for the same job"
    sequences = report.run.micro_batch_size * report.run.gradient_accumulation_steps * report.run.num_gpus
    steps = f"Their optimizer steps have {FEWEST_SEQUENCES} sequences or more; this run's have {sequences:,}"
    blocks: list[Block] = [Paragraph(f"Other ways, {of}: {searched}. {steps}.")]
    if found.emptied_by is not None:
        blocks.append(Paragraph(outcome_sentence(found.emptied_by)))
    if found.frontier:
        blocks += [
            Paragraph("Nothing beats these in time and cost, the fastest first:"),
            _table(found.frontier),
            Picture(_chart(found), _alt(found)),
            Folded("The command of each", (Bullets(_commands(report.run, found.frontier)),)),
        ]
    if len(found.by_method) > 1:
        blocks.append(Folded("The cheapest way with each method", (_table(found.by_method),)))
    ways = (*found.frontier, *found.by_method)
    for title, sentences in (
        ("What to expect of them", caveats(ways)),
        ("Near misses", [memory_sentence(miss) for miss in found.memory_misses]),
    ):
        if sentences:
            blocks.append(Folded(title, (bullets(sentences),)))
    return blocks


def _commands(run: TrainingRun, ways: Sequence[Way]) -> tuple[Words, ...]:
    """Each once, with what it has as `run` has it: some differ by their offer alone."""
    lines = (" ".join((command(way.run, way.gpu), *_flags(run, way.run))) for way in ways)
    return tuple((Code(line),) for line in dict.fromkeys(lines))


def _flags(run: TrainingRun, other: TrainingRun) -> list[str]:
    """Of the fields that were kept and are not as they would be by themselves."""
    given, words = other.to_dict(), list[str]()
    # alpha follows the rank
    by_itself = TrainingRun(model=other.model, method=other.method, rank=given["rank"]).to_dict() | {"rank": None}
    for name in kept_fields(run):
        value, flag = given[name], name.replace("_", "-")
        if value == by_itself[name]:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value not in (None, []):
            text = ",".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
            words.append(f"--{flag} {quote(text)}")
    return words


def _table(ways: Sequence[Way]) -> Table:
    rows = tuple(_row(way) for way in ways)
    return Table(
        ("method", "on", "offer", "batch", "time", "USD", "low–high", "peak of usable GiB", "tokens/s"), rows, 4
    )


def _row(way: Way) -> tuple[Words, ...]:
    run, quoted = way.run, way.quote
    accumulated = run.gradient_accumulation_steps
    return (
        method_title(run),
        cards(way.gpu, run.num_gpus),
        offer_of(way),
        f"{run.micro_batch_size}{f' x {accumulated}' if accumulated > 1 else ''}",
        duration(3600 * way.hours),
        f"{way.usd:,.2f}{MARK if quoted.stale else ''}",
        f"{quoted.low_usd:,.2f}–{quoted.high_usd:,.2f}",
        f"{gib_number(way.reserved_bytes, 1)} of {gib_number(way.usable_bytes, 1)}",
        f"{way.job.tokens_per_s:,.0f}",
    )


def _chart(found: Recommendation) -> Points:
    points = [
        Point(
            f"{method_title(way.run)} on {cards(way.gpu, way.run.num_gpus)}, {offer_of(way)}", way.hours, float(way.usd)
        )
        for way in found.frontier
    ]
    return Points("alternatives", "Ways that nothing beats in both time and cost", "hours", "USD", tuple(points))


def _alt(found: Recommendation) -> str:
    fastest, cheapest = found.frontier[0], found.frontier[-1]
    return (
        f"Points of hours and US dollars, from the fastest, {duration(3600 * fastest.hours)} for ${fastest.usd:,.2f}, "
        f"to the cheapest, {duration(3600 * cheapest.hours)} for ${cheapest.usd:,.2f}."
    )

"""How long a run takes and what it costs, offer by offer, with the date and the source of each price."""

from __future__ import annotations

from collections.abc import Sequence

from planner.plan_types import Plan
from planner.time.step_time import StepTime
from pricing.plan_quotes import PlanQuotes
from pricing.quote import Quote
from reports.charts.chart import Range, Ranges
from reports.cost_report.content import CostReport
from reports.cost_report.words import bullets, sentence, worded
from reports.dataset import dataset_sentences
from reports.documents.blocks import Block, Bullets, Folded, Link, Paragraph, Picture, Section, Table, Words
from reports.offers import NO_OFFER, OLD_PRICE, offer_name, priced_for, seen
from reports.plan_words import card_name
from reports.time import duration, job_sentence, million_sentence, speed_sentence, time_share

MARK = "*"


def time_and_cost_section(report: CostReport) -> Section | None:
    """None without a plan."""
    plan = report.plan
    if plan is None:
        return None
    if plan.gpu is None or plan.time is None:
        why = report.to_name_a_card if plan.gpu is None else "the notes say why"
        return Section("Time and cost", (Paragraph(worded(f"Neither is known: {why}.")),))
    blocks: list[Block] = [Paragraph(f"On {card_name(plan.gpu)}: {speed_sentence(plan.time)}.")]
    blocks.append(sentence(job_sentence(plan.job) if plan.job else million_sentence(plan.time)))
    blocks.append(Folded("Where the seconds of a step go", (_terms(plan.time),)))
    blocks += _job(plan)
    if report.lengths is not None:
        blocks.append(Folded("The dataset", (bullets(dataset_sentences(report.lengths, plan.run.sequence_length)),)))
    if report.quotes is not None:
        blocks += _offers(plan, report.quotes)
    return Section("Time and cost", tuple(blocks))


def _terms(step: StepTime) -> Table:
    rows = [
        (term.name, term.text, duration(term.seconds), time_share(term.seconds / step.step_s)) for term in step.terms
    ]
    total = ("whole step", f"{step.tokens:,} tokens", duration(step.step_s), "100%")
    return Table(("term", "worked out from", "time", "share"), (*rows, total), left=2, total=True)


def _job(plan: Plan) -> list[Block]:
    """The job's parts in the order in which they happen."""
    job = plan.job
    if job is None:
        return []
    rows = [
        (part.name, part.text, *(duration(seconds) for seconds in (part.seconds, part.low_s, part.high_s)))
        for part in job.parts
    ]
    low, high = job.hours_interval
    total = ("the job", "", *(duration(seconds) for seconds in (job.seconds, 3600 * low, 3600 * high)))
    return [Table(("part", "worked out from", "expected", "low", "high"), (*rows, total), left=2, total=True)]


def _offers(plan: Plan, quotes: PlanQuotes) -> list[Block]:
    assert plan.gpu is not None
    shown = (*quotes.of_card, *quotes.elsewhere)
    sources = list(dict.fromkeys(quoted.offer.source for quoted in shown))
    blocks: list[Block] = []
    if quotes.of_card:
        first = quotes.of_card[0]
        made_of = f"What {_usd(first)} on {offer_name(first)} is made of"
        blocks += [
            Paragraph(f"What {priced_for(quotes)} costs on {card_name(plan.gpu)}, the cheapest first:"),
            _table(quotes.of_card, sources, with_card=False),
            Folded(made_of, _lines(first)),
        ]
    else:
        blocks.append(sentence(f"what it costs on {card_name(plan.gpu)} is not known: {NO_OFFER}"))
    if quotes.elsewhere:
        cheaper = "The same run, cheaper on other cards:" if quotes.of_card else "The same run on other cards:"
        blocks += [Paragraph(cheaper), _table(quotes.elsewhere, sources, with_card=True)]
    if any(quoted.stale for quoted in shown):
        blocks.append(Paragraph(worded(f"{MARK} {OLD_PRICE}.")))
    if shown:
        blocks.append(Picture(_chart(quotes), _alt(quotes)))
        blocks.append(Folded("Sources of the prices", (Bullets(tuple(map(_source, sources)), numbered=True),)))
    return blocks


def _table(quotes: Sequence[Quote], sources: Sequence[str], *, with_card: bool) -> Table:
    head = ("offer", "instance", "price seen (source)", "USD an hour", "USD", "low–high", "time")
    rows = tuple(_row(quoted, sources) for quoted in quotes)
    if not with_card:
        return Table(head, rows, left=3)
    cards = tuple((quoted.offer.gpu or quoted.offer.gpu_name, *row) for quoted, row in zip(quotes, rows, strict=True))
    return Table(("card", *head), cards, left=4)


def _row(quoted: Quote, sources: Sequence[str]) -> tuple[Words, ...]:
    offer = quoted.offer
    return (
        offer_name(quoted),
        f"{offer.instance_type}{f' in {offer.region}' if offer.region else ''}",
        f"{seen(quoted)}{MARK if quoted.stale else ''} ({sources.index(offer.source) + 1})",
        f"{offer.usd_per_hour:,.2f}",
        f"{quoted.usd:,.2f}",
        f"{quoted.low_usd:,.2f}–{quoted.high_usd:,.2f}",
        duration(3600 * quoted.hours),
    )


def _usd(quoted: Quote) -> str:
    return f"${quoted.usd:,.2f}"


def _lines(quoted: Quote) -> tuple[Block, ...]:
    """What a quote is made of, and what to know of the offer."""
    rows = [(line.name, line.text, "not known" if line.usd is None else f"{line.usd:,.2f}") for line in quoted.lines]
    table = Table(("line", "worked out from", "USD"), (*rows, ("all", "", f"{quoted.usd:,.2f}")), left=2, total=True)
    notes = (*quoted.notes, *([quoted.offer.note] if quoted.offer.note else []))
    return (table, bullets(notes)) if notes else (table,)


def _source(source: str) -> Words:
    """A link where the source is an address."""
    return (Link(source, source),) if source.startswith(("https://", "http://")) else source


def _chart(quotes: PlanQuotes) -> Ranges:
    rows = [
        Range(
            _named(quoted, quotes),
            float(quoted.low_usd),
            float(quoted.usd),
            float(quoted.high_usd),
            emphasis=quoted is next(iter(quotes.of_card), None),
        )
        for quoted in (*quotes.of_card, *quotes.elsewhere)
    ]
    return Ranges("cost", f"What {priced_for(quotes)} costs, with its interval", "USD", tuple(rows))


def _named(quoted: Quote, quotes: PlanQuotes) -> str:
    """The offer, with its card where that is not the plan's."""
    return offer_name(quoted) if quoted in quotes.of_card else f"{quoted.offer.gpu} {offer_name(quoted)}"


def _alt(quotes: PlanQuotes) -> str:
    shown = sorted((*quotes.of_card, *quotes.elsewhere), key=lambda quoted: quoted.usd)
    first, last = shown[0], shown[-1]
    most = f", to {_usd(last)} on {_named(last, quotes)}" if last is not first else ""
    return (
        f"Ranges of US dollars for {priced_for(quotes)} by offer, from {_usd(first)} ({first.low_usd:,.2f} to "
        f"{first.high_usd:,.2f}) on {_named(first, quotes)}{most}."
    )

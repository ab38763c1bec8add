"""What a report begins with: whether the run fits, what it costs, and what to change, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from planner.run import TrainingRun
from pricing.offer import ON_DEMAND
from pricing.quote import Quote
from pricing.recommendation import Way
from profiler.verification import Verification
from reports.advice import advice, freed
from reports.cost_report.content import CostReport
from reports.cost_report.words import worded
from reports.documents.blocks import Block, Bullets, Paragraph, Strong, Words
from reports.figures import gib
from reports.offers import offer_name, priced_for
from reports.plan_words import card_name, reserved_figure
from reports.recommend import cards, offer_of
from reports.time import duration
from reports.trainer_config import in_words
from reports.verdict import RAN_OUT, method_title, ran_out, room, verdict_title
from reports.verification import verdict_word


def answer(report: CostReport) -> tuple[Block, ...]:
    """The lines, and a warning for each setting that no figure counts."""
    lines = [_fits(report), *([_measured(report.verification)] if report.verification else []), _costs(report)]
    change = _change(report)
    uncounted = report.reading.uncounted if report.reading is not None else ()
    return (
        Bullets((*lines, *([change] if change else []))),
        *(Paragraph((Strong("Not counted:"), f" {words}")) for words in in_words(uncounted)),
    )


def _fits(report: CostReport) -> Words:
    plan = report.plan
    if plan is None:
        simulated = report.simulation
        if simulated is None or simulated.gpu is None or simulated.verdict is None:
            return f"There is no estimate: {report.unplanned}"
        reserved = gib(simulated.memory.peak_bytes.reserved)
        usable = gib(simulated.gpu.usable_bytes)
        return (
            Strong(verdict_title(simulated.verdict)),
            f" on {simulated.gpu.name}: simulated {reserved} reserved of {usable} usable; there is no estimate: "
            f"{report.unplanned}",
        )
    if plan.gpu is None or plan.verdict is None:
        return worded(f"{reserved_figure(plan)} at the peak; to see whether it fits, {report.to_name_a_card}")
    each = " on each card" if plan.gpu.count > 1 else ""
    return (
        Strong(verdict_title(plan.verdict)),
        f" on {card_name(plan.gpu)}: {reserved_figure(plan)} of {gib(plan.gpu.usable_bytes)} usable{each}, "
        f"{room(plan, plan.gpu)}{f', {RAN_OUT}' if ran_out(plan) else ''}",
    )


def _measured(verification: Verification) -> Words:
    return (Strong(f"{verdict_word(verification)}:"), f" {verification.because}")


def _costs(report: CostReport) -> Words:
    plan, quotes = report.plan, report.quotes
    if plan is None or plan.gpu is None:
        return "What it costs is not known, as no card is named" if plan else "What it costs is not known"
    if plan.time is None:
        return f"How long it takes on {card_name(plan.gpu)} is not known, and so not what it costs"
    if quotes is None or not quotes.of_card:
        seconds = 1e6 / plan.time.tokens_per_s if plan.job is None else plan.job.seconds
        of = "a million tokens" if plan.job is None else "the job"
        unknown = "" if quotes is None else f"; what it costs is not known, as there is no offer of {plan.gpu.name}"
        return (Strong(duration(seconds)), f" for {of}{unknown}")
    best = quotes.of_card[0]
    what = f"{priced_for(quotes)}{' if it fitted' if plan.verdict == 'does_not_fit' else ''}"
    return (
        Strong(f"${best.usd:,.2f}"),
        f" ({best.low_usd:,.2f}–{best.high_usd:,.2f}) for {what} on {offer_name(best)}, in "
        f"{quote_time(best)}{', by an old price' if best.stale else ''}{_without_a_risk(quotes.of_card)}",
    )


def _without_a_risk(quotes: Sequence[Quote]) -> str:
    """The cheapest offer that nobody takes away, where the cheapest of all is another."""
    safe = next((quoted for quoted in quotes if quoted.offer.market == ON_DEMAND), None)
    if safe is None or safe is quotes[0]:
        return ""
    old = ", by an old one too" if safe.stale else ""
    return f"; ${safe.usd:,.2f} ({safe.low_usd:,.2f}–{safe.high_usd:,.2f}) on {offer_name(safe)}{old}"


def quote_time(quoted: Quote) -> str:
    """`47.5 min (40.1 min to 58.2 min)`: the hours that are paid for."""
    low, high = duration(3600 * quoted.low_hours), duration(3600 * quoted.high_hours)
    return f"{duration(3600 * quoted.hours)} ({low} to {high})"


def _change(report: CostReport) -> Words | None:
    """What makes it fit, or the cheapest other way; None where there is neither."""
    plan, quotes = report.plan, report.quotes
    if plan is not None and plan.verdict in ("tight", "does_not_fit"):
        enough = [one for one in report.suggestions if one.fits]
        if enough:
            return (Strong("To make it fit:"), f" {enough[0].text}, {freed(enough[0])}")
    others = report.others
    found = None if others is None or isinstance(others, str) or others.assumed_job else others.cheapest
    own = quotes.of_card[0] if quotes is not None and quotes.of_card else None
    if found is not None:
        if own is None or plan is None or plan.verdict == "does_not_fit" or found.usd < own.usd:
            return (Strong("The cheapest way found:"), f" {_way(report.run, found)}")
        return "No other way that was searched costs less"
    if quotes is not None and quotes.elsewhere:
        other = quotes.elsewhere[0]
        return (
            Strong("The same run costs less"),
            f" on {other.offer.gpu} of {offer_name(other)}: ${other.usd:,.2f} ({other.low_usd:,.2f}–"
            f"{other.high_usd:,.2f}) in {duration(3600 * other.hours)}{', by an old price' if other.stale else ''}",
        )
    if plan is not None and report.suggestions:
        title, (first, *_) = next(iter(advice(plan, report.suggestions).items()))
        return (Strong(f"{title}:"), f" {first.text}, {freed(first)}")
    return None


def _way(run: TrainingRun, way: Way) -> str:
    other, quoted = way.run, way.quote
    return (
        f"{method_title(other)} on {cards(way.gpu, other.num_gpus)} of {offer_of(way)}, {_otherwise(run, other)}"
        f"${way.usd:,.2f} ({quoted.low_usd:,.2f}–{quoted.high_usd:,.2f}) in {duration(3600 * way.hours)}"
        f"{', by an old price' if quoted.stale else ''}"
    )


def _otherwise(run: TrainingRun, other: TrainingRun) -> str:
    """What else is set otherwise: of two ways by one method on one card, the whole difference."""
    checkpointed = "with" if other.gradient_checkpointing else "without"
    batches = (other.micro_batch_size, other.gradient_accumulation_steps)
    changes = {
        f"{checkpointed} gradient checkpointing": run.gradient_checkpointing != other.gradient_checkpointing,
        f"with {other.kernels} kernels": run.kernels != other.kernels,
        f"with {other.optimizer}": run.optimizer != other.optimizer,
        f"in batches of {' x '.join(map(str, batches))}": (
            batches != (run.micro_batch_size, run.gradient_accumulation_steps)
        ),
    }
    return "".join(f"{words}, " for words, is_other in changes.items() if is_other)

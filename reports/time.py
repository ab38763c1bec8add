"""The time of a step and of a job for people: tokens a second first, then where the seconds go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.memory.ledger import MEASUREMENT
from planner.plan_types import Plan
from planner.time.step_time import StepTime, Term
from reports.figures import columns
from reports.page import Page

if TYPE_CHECKING:
    from planner.job import JobTime

SMALLEST = 0.005
"""Share of a step below which a term is not worth a line in a plan."""


def time_section(plan: Plan, page: Page) -> list[str]:
    """What a plan says of time: speed and its interval, where a step goes, and how long the job takes."""
    step = plan.time
    if step is None or plan.gpu is None:
        return []
    terms = sorted(step.terms, key=lambda term: -term.seconds)
    shares = [
        f"{term.name} {term.seconds / step.step_s:.0%}" for term in terms if term.seconds >= SMALLEST * step.step_s
    ]
    lines = [
        page.heading("Time"),
        *page.wrap(speed_sentence(step)),
        *(page.style(line, "dim") for line in page.wrap(", ".join(shares))),
    ]
    if plan.job is not None:
        return [*lines, *job_lines(plan.job, page)]
    return [*lines, *page.wrap(million_sentence(step))]


def speed_sentence(step: StepTime) -> str:
    """Tokens a second with their interval, a step's seconds, and what that uses of the card."""
    slow, fast = step.tokens_per_s_interval
    return (
        f"{step.tokens_per_s:,.0f} tokens/s{_known(step)}, between {slow:,.0f} and {fast:,.0f}{_holds(step)}; "
        f"{duration(step.step_s)} a step of {step.tokens:,} tokens{_utilization(step)}"
    )


def million_sentence(step: StepTime) -> str:
    """What there is to say where no job was asked for."""
    million = 1e6 / step.tokens_per_s
    return f"{duration(million)} for a million tokens; --examples or --dataset for your job's hours"


def job_lines(job: JobTime, page: Page) -> list[str]:
    """How long a job takes, and of what."""
    parts = [f"{part.name} {duration(part.seconds)}" for part in job.parts]
    return [
        *page.wrap(job_sentence(job)),
        *(page.style(line, "dim") for line in page.wrap(", ".join(parts))),
    ]


def job_sentence(job: JobTime) -> str:
    """A job's hours with their interval, and what there is to do."""
    fast, slow = job.hours_interval
    epochs = f"{job.epochs:g} {'epoch' if job.epochs == 1 else 'epochs'}"
    return (
        f"The job: {duration(3600 * job.hours)}, between {duration(3600 * fast)} and {duration(3600 * slow)}: "
        f"{job.steps:,} steps, {epochs} of {job.examples:,} examples, {job.tokens:,.0f} tokens "
        f"({job.padded_tokens:,.0f} with padding)"
    )


def explained_time_text(step: StepTime, card: str, page: Page) -> str:
    """Each term of a step with its seconds, its share and what it was worked out from."""
    lines = [page.heading(f"Time of one optimizer step on {card}"), ""]
    for term in step.terms:
        lines += _term(term, step, page)
    slow, fast = step.tokens_per_s_interval
    lines += [
        "",
        *(page.style(line, "bold") for line in columns([["  total", duration(step.step_s)]])),
        *page.wrap(
            f"{step.tokens:,} tokens a step: {step.tokens_per_s:,.0f} tokens/s, between {slow:,.0f} and {fast:,.0f} in "
            f"{step.coverage:.0%} of runs{_utilization(step)}"
        ),
        "",
        *page.wrap(f"Known from: {step.basis}; efficiencies as fitted in planner/time/data/efficiency.csv"),
    ]
    return page.finish(lines)


def _term(term: Term, step: StepTime, page: Page) -> list[str]:
    left, right = f"  {term.name}", f"{duration(term.seconds)}  {time_share(term.seconds / step.step_s):>4}"
    return [
        f"{left}{right.rjust(page.width - len(left))}",
        *(page.style(line, "dim") for line in page.wrap(term.text, first="    ")),
    ]


def _known(step: StepTime) -> str:
    return " measured" if step.basis == MEASUREMENT else ""


def _holds(step: StepTime) -> str:
    """The share of runs that the interval is meant to hold; nothing is known of how a measured one repeats."""
    return "" if step.basis == MEASUREMENT else f" in {step.coverage:.0%} of runs"


def _utilization(step: StepTime) -> str:
    if step.mfu is None or step.hfu is None:
        return ""
    return f"; MFU {step.mfu:.0%}" + (f", HFU {step.hfu:.0%}" if step.hfu > step.mfu else "")


def duration(seconds: float) -> str:
    """Seconds for people: `780 ms`, `12.4 min`, `3.2 h`, `5.1 days`; `<0.01 ms` for next to nothing."""
    if 0 < seconds < 1e-5:
        return "<0.01 ms"
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    for unit, size, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:,.1f} days"


def time_share(part: float) -> str:
    """`44%`; `<1%` for what would round to nothing, though it is not nothing."""
    return "<1%" if 0 < part < 0.005 else f"{part:.0%}"

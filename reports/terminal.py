"""A plan for people: the verdict first, then where the bytes go, then what to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.plan_types import Footprint, Limits, Plan, Suggestion
from planner.run import TrainingRun
from reports.advice import advice_section
from reports.assumptions import assumptions_section
from reports.bar import bar_section
from reports.dataset import dataset_section
from reports.figures import columns, gib
from reports.ledger_table import ledger_section
from reports.offers import offers_section
from reports.page import Page
from reports.plan_words import footprint_rows, interval_sentence, level_rows, limit_sentences
from reports.sections import joined, list_section
from reports.time import time_section
from reports.trainer_config import config_sections
from reports.verdict import verdict_section

if TYPE_CHECKING:
    from planner.dataset import LengthProfile
    from planner.trainer_configs import Reading
    from pricing.plan_quotes import PlanQuotes


def plan_text(
    plan: Plan,
    suggestions: Sequence[Suggestion],
    page: Page,
    quotes: PlanQuotes | None = None,
    lengths: LengthProfile | None = None,
    reading: Reading | None = None,
) -> str:
    """The whole view of a plan, within the page's width. reading: of the config that the run is from."""
    advice = advice_section(plan, suggestions, page)
    urgent = plan.verdict in ("tight", "does_not_fit")
    sections = [
        verdict_section(plan, page, reading),
        advice if urgent else [],
        bar_section(plan, page),
        ledger_section(plan.memory, page),
        _levels(plan, page),
        _limits(plan.run, plan.limits, page) if plan.limits else [],
        time_section(plan, page),
        dataset_section(lengths, plan.run.sequence_length, page) if lengths else [],
        offers_section(plan, quotes, page),
        _footprint(plan.run, plan.footprint, page),
        [] if urgent else advice,
        config_sections(reading, page),
        assumptions_section(plan.run, page),
        list_section("Notes", plan.notes, page),
    ]
    return page.finish(joined(sections))


def _levels(plan: Plan, page: Page) -> list[str]:
    rows = level_rows(plan)
    figures = columns([[name, gib(size)] for name, size, _ in rows])
    return [
        page.heading("The peak at each level"),
        *(f"  {figure}  {page.style(counts, 'dim')}" for figure, (_, _, counts) in zip(figures, rows, strict=True)),
        *page.wrap(interval_sentence(plan)),
    ]


def _limits(run: TrainingRun, limits: Limits, page: Page) -> list[str]:
    sentences = limit_sentences(run, limits)
    return [page.heading("Largest that fits"), *(line for sentence in sentences for line in page.wrap(sentence))]


def _footprint(run: TrainingRun, footprint: Footprint, page: Page) -> list[str]:
    rows = footprint_rows(run, footprint)
    figures = columns([[label, size] for label, size, _ in rows])
    return [
        page.heading("Off the GPU"),
        *(f"  {figure}  {page.style(use, 'dim')}" for figure, (_, _, use) in zip(figures, rows, strict=True)),
    ]

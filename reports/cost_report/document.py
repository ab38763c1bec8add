"""`document`: a cost report as a document."""

from __future__ import annotations

from reports.cost_report.alternatives import alternatives_section
from reports.cost_report.answer import answer
from reports.cost_report.assumed import assumed_section
from reports.cost_report.content import CostReport, run_title
from reports.cost_report.known import known_section
from reports.cost_report.memory import memory_section
from reports.cost_report.reproduce import reproduce_section
from reports.cost_report.time_and_cost import time_and_cost_section
from reports.documents.blocks import Document
from reports.plan_words import card_name

MARK = "<!-- lora-plan report -->"
"""The first line of the Markdown, by which a report is known."""


def document(report: CostReport) -> Document:
    """The answer, and a section for each thing that it stands on."""
    gpu = report.plan.gpu if report.plan is not None else None
    sections = (
        memory_section(report),
        time_and_cost_section(report),
        known_section(report),
        alternatives_section(report),
        assumed_section(report),
        reproduce_section(report),
    )
    return Document(
        title=f"{run_title(report.run)}{f' on {card_name(gpu)}' if gpu is not None else ''}: memory, time and cost",
        lead=answer(report),
        sections=tuple(section for section in sections if section is not None),
    )

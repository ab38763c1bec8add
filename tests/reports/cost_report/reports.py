"""Reports to test with: on a fixed day, with a few offers and what was measured by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.catalogue import Gpu
from planner.job import Job
from planner.run import TrainingRun
from reports.cost_report.content import CostReport
from reports.cost_report.document import document
from reports.cost_report.gather import gather
from reports.cost_report.other_ways import other_ways
from reports.documents.blocks import Block, Code, Document, Folded, Link, Strong, Table, Words
from reports.documents.markdown import markdown
from tests.pricing.offers import TODAY
from tests.pricing.recommendations import OFFERS

QLORA = TrainingRun(model="llama-3.1-8b", method="qlora", micro_batch_size=2, sequence_length=1024)
JOB = Job(examples=1800, tokens=1_000_000, epochs=3)
COMMAND = "lora-plan report --run run.yaml --gpu L40S"


def gathered(
    run: TrainingRun = QLORA, card: Gpu | str | None = "L40S", job: Job | None = JOB, **how: Any
) -> CostReport:
    """The report on a run, with the offers of `tests.pricing.recommendations`."""
    given: dict[str, Any] = {"offers": OFFERS, "command": COMMAND, "today": TODAY, "version": "0.1.0"}
    return gather(run, card, job, **(given | how))


def with_others(report: CostReport, job: Job | None = JOB) -> CostReport:
    """The report with the other ways to do its job."""
    return replace(report, others=other_ways(report.run, job, OFFERS, TODAY))


def as_markdown(report: CostReport) -> str:
    """The report, its pictures named as files."""
    return markdown(document(report), lambda picture: f"report-{picture.chart.name}.svg")


def plain(words: Words) -> str:
    """What words say, without how they look."""
    pieces = [words] if isinstance(words, str | Code | Strong | Link) else words
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def tables(made: Document) -> dict[str, list[dict[str, str]]]:
    """The tables of a document by the first cell of their heads: rows as head -> cell."""
    found: dict[str, list[dict[str, str]]] = {}

    def look(blocks: tuple[Block, ...]) -> None:
        for block in blocks:
            if isinstance(block, Folded):
                look(block.blocks)
            elif isinstance(block, Table):
                rows = [dict(zip(block.head, map(plain, row), strict=True)) for row in block.rows]
                found.setdefault(block.head[0], rows)

    look(made.lead)
    for section in made.sections:
        look(section.blocks)
    return found

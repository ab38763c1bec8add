"""How to make the report again: the run as a file, the command, and the versions."""

from __future__ import annotations

import re

from planner.run import TrainingRun, dumps
from reports.cost_report.content import CostReport
from reports.documents.blocks import Code, CodeBlock, Paragraph, Section

RUN_FILE = "run.yaml"
_KEY = re.compile(r"([a-z_]+):")


def reproduce_section(report: CostReport) -> Section:
    """The run file first, as the command reads it."""
    versions = [f"lora-plan {report.version}"]
    if report.simulation is not None:
        versions += [f"{library} {version}" for library, version in report.simulation.versions]
    return Section(
        "How to reproduce it",
        (
            Paragraph(("The run, as a file ", Code(RUN_FILE), "; what nothing was said of is commented out:")),
            CodeBlock(_run_file(report.run), "yaml"),
            Paragraph("The command:"),
            CodeBlock(f"{report.command}\n", "bash"),
            Paragraph(f"Made on {report.day.isoformat()} by {', '.join(versions)}."),
        ),
    )


def _run_file(run: TrainingRun) -> str:
    """The run with what was said of it; the rest as comments, so that it stays open where the file is read."""
    lines: list[str] = []
    commented = False
    for line in dumps(run, "yaml").splitlines():
        if key := _KEY.match(line):
            commented = key[1] in run.defaulted
        lines.append(f"# {line}" if commented else line)
    return "\n".join(lines) + "\n"

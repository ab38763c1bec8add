"""Other ways in a report, and the commands that plan them."""

from __future__ import annotations

import shlex

from planner.run import TrainingRun
from reports.cost_report.content import CostReport
from reports.cost_report.document import document
from reports.documents.blocks import Bullets, Folded
from tests.lora_plan.cli import call
from tests.reports.cost_report.reports import gathered, plain, tables, with_others

ADAPTED = TrainingRun(
    model="llama-3.1-8b", method="lora", rank=8, alpha=16, target_modules="q_proj,v_proj", max_grad_norm=0
)


def commands(report: CostReport) -> list[str]:
    """Those of the frontier."""
    (section,) = [section for section in document(report).sections if section.title == "Alternatives"]
    folded = [block for block in section.blocks if isinstance(block, Folded)]
    (listed,) = next(block.blocks for block in folded if block.summary == "The command of each")
    assert isinstance(listed, Bullets)
    return [plain(item) for item in listed.items]


def test_each_command_plans_what_the_table_says() -> None:
    report = with_others(gathered(ADAPTED))
    # several offers of one way have one command
    peaks = dict.fromkeys(row["peak of usable GiB"] for row in tables(document(report))["method"])
    planned = commands(report)
    assert all("--rank 8 --target-modules q_proj,v_proj --max-grad-norm 0.0" in line for line in planned)
    for line in planned:
        said = call(*shlex.split(line)[1:]).out
        assert any(f"{peak.split()[0]} GiB (" in said for peak in peaks)


def test_what_was_not_said_is_not_in_a_command() -> None:
    for line in commands(with_others(gathered())):
        assert "--rank" not in line and "--target-modules" not in line

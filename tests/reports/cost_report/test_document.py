"""Whole reports, as they are written: compared with files that a reader has looked at."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from planner.job import Job
from planner.plan import loaded_config
from planner.run import TrainingRun
from planner.trainer_configs.types import Setting
from planner.units import GIB
from profiler.records import here
from profiler.records.here import Here
from reports.charts.chart import Ranges, StackedBars
from reports.cost_report.content import CostReport
from reports.cost_report.document import document
from reports.cost_report.words import worded
from reports.documents.blocks import Bullets, Code, Paragraph, Picture
from reports.documents.markdown import markdown
from tests.pricing.offers import an_offer
from tests.profiler.records.measurements import VERSIONS, in_slices, measured, out_of_memory, recorded
from tests.reports.cost_report.reports import JOB, QLORA, as_markdown, gathered, plain, with_others
from tests.reports.documents.parsed import inlines, said, tokens
from tests.reports.simulations import ledgers_apart, simulation_of

LORA = TrainingRun(model="llama-3.2-1b", method="lora", sequence_length=512)
TWO_MILLION = Job(tokens=2_000_000)
TOO_LARGE = TrainingRun(model="mistral-7b", method="full")


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the libraries of the records."""
    monkeypatch.setattr(here, "look", lambda _: Here(dict(VERSIONS), "580.95.05", {}))


def simulated(run: TrainingRun, gpu: object, live: bool) -> object:
    """A simulation that says a little more than the plan."""
    estimate = gathered(run, gpu, None).estimate  # pyright: ignore[reportArgumentType]
    assert estimate is not None
    return simulation_of(estimate, ledgers_apart(estimate, {"saved_activations": 1.06}), estimate.verdict)


REPORTS: dict[str, Callable[[], CostReport]] = {
    "that_fits": lambda: with_others(gathered()),
    "too_large": lambda: with_others(gathered(TOO_LARGE, "L40S", None), None),
    "no_card": lambda: gathered(LORA, None, None),
    "a_record": lambda: with_others(
        gathered(recorded().measurement.run, "a100-80", TWO_MILLION, record=recorded(), simulator=simulated),
        TWO_MILLION,
    ),
    "simulated": lambda: gathered(LORA, "L40S", None, simulator=simulated),
}


@pytest.mark.parametrize("name", REPORTS)
def test_markdown(name: str, golden: Callable[[str, str], None]) -> None:
    golden(as_markdown(REPORTS[name]()), f"{name}.md")


def lead(report: CostReport) -> list[str]:
    """The lines of the answer."""
    lines: list[str] = []
    for block in document(report).lead:
        if isinstance(block, Bullets):
            lines += map(plain, block.items)
        elif isinstance(block, Paragraph):
            lines.append(plain(block.words))
    return lines


def test_the_answer_is_three_lines() -> None:
    fits, costs, change = lead(with_others(gathered()))
    assert fits.startswith("FITS on L40S: ") and "to spare" in fits
    assert costs.startswith("$") and "for the job on runpod spot" in costs
    assert change.startswith("The cheapest way found: ") or change == "No other way that was searched costs less"


def test_a_setting_that_no_figure_counts_is_a_warning_in_the_answer() -> None:
    from planner.trainer_configs.reading import Reading

    setting = Setting("torch_compile", True, "compiled graphs keep other tensors")
    reading = Reading(configs=(), fields={}, job={}, overridden=(), uncounted=(setting,), notes=("read as TRL",))
    *_, warning = lead(gathered(reading=reading))
    assert warning == "Not counted: torch_compile true (compiled graphs keep other tensors)"
    assert "read as TRL" in as_markdown(gathered(reading=reading))


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (out_of_memory, "OUT OF MEMORY, not foreseen:"),
        (in_slices, "models of 2 and 3 layers were run and stand for one of 32"),
        (measured, "Measured on NVIDIA A100-SXM4-80GB (cuda)"),
    ],
)
def test_what_was_measured_is_held_to_the_estimate(made: Callable[[], object], part: str) -> None:
    record = recorded(made())  # pyright: ignore[reportArgumentType]
    text = as_markdown(gathered(record.measurement.run, "a100-80", None, record=record))
    assert part in text and f"record {record.id[:8]}" in text


def test_pictures_are_of_what_the_tables_say() -> None:
    report = REPORTS["a_record"]()
    assert report.plan is not None and report.quotes is not None
    blocks = [block for section in document(report).sections for block in section.blocks]
    charts = {block.chart.name: block.chart for block in blocks if isinstance(block, Picture)}
    assert charts.keys() == {"memory", "cost", "reconciled", "alternatives"}
    memory, cost = charts["memory"], charts["cost"]
    assert isinstance(memory, StackedBars) and isinstance(cost, Ranges) and memory.limit is not None
    reserved = sum(part.values[-1] or 0 for part in memory.parts)
    assert reserved * GIB == pytest.approx(report.plan.memory.peak_bytes.reserved)
    assert [row.value for row in cost.rows] == [float(quoted.usd) for quoted in report.quotes.elsewhere]


def test_a_report_without_a_plan_says_why_and_what_is_known_all_the_same() -> None:
    known = gathered(LORA, "L40S", None, simulator=simulated)
    text = as_markdown(
        replace(known, plan=None, estimate=None, unplanned="the planner does not know it", suggestions=(), quotes=None)
    )
    assert "there is no estimate: the planner does not know it" in text
    assert "## Memory" in text and "## Time and cost" not in text
    assert "| base weights" in text


HOSTILE = "<img src=x onerror=alert(1)>|`a`[x](javascript:b)@someone"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(loaded_config("llama-3.2-1b").config), encoding="utf-8")
    offer = an_offer(provider=HOSTILE, instance_type=HOSTILE, source=HOSTILE, region=HOSTILE, note=HOSTILE)
    report = gathered(QLORA.replace(model=str(folder)), "L40S", JOB, offers=[offer], command=f"x {HOSTILE}")
    made = markdown(document(report), lambda _: None)
    for token in tokens(made):
        if token.type == "html_block":
            assert re.sub(r"</?details>|</?summary>|<!-- -->", "", token.content).find("<") == -1
    assert sum(HOSTILE in said(line) for line in inlines(made)) >= 4


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("nothing typed", "nothing typed"),
        ("look at `lora-plan prices` now", ("look at ", Code("lora-plan prices"), " now")),
        ("`a` and `b`", (Code("a"), " and ", Code("b"))),
        ("one ` alone", "one ` alone"),
    ],
)
def test_what_stands_between_backticks_is_typed(text: str, pieces: object) -> None:
    assert worded(text) == pieces

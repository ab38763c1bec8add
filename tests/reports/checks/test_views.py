"""What was checked, as text, JSON and a comment."""

from __future__ import annotations

import json
from dataclasses import replace

from planner.trainer_configs import Setting
from reports.checks import CheckedRun, Limits, check_run
from reports.checks.document import check_document
from reports.checks.json import check_json
from reports.checks.text import check_text, result
from reports.comparison import Unplanned
from reports.documents.blocks import Code, Folded, Paragraph, Strong, Table
from reports.page import Page
from tests.reports.comparison.sides import planned, with_uncounted

SIDE = planned("a.yaml")
GOOD = CheckedRun(SIDE, check_run(SIDE, Limits(memory_gib=20)))
BROKEN = CheckedRun(SIDE, check_run(SIDE, Limits(memory_gib=1)))
REFUSED = CheckedRun(Unplanned("c.yaml", "c.yaml is empty; give the config of a run", refused=True), ())


def test_the_result_is_one_sentence() -> None:
    assert result([GOOD]) == "1 run within its limits"
    assert result([GOOD, GOOD]) == "2 runs within their limits"
    assert result([BROKEN]) == "1 run breaks its limits"
    assert result([BROKEN, BROKEN, GOOD]) == "2 of 3 runs break their limits"
    assert result([BROKEN, REFUSED]) == "1 of 2 runs breaks its limits; 1 of 2 runs cannot be checked"


def test_people_see_one_line_a_limit() -> None:
    text = check_text([BROKEN, REFUSED], Page(width=100))
    assert text.splitlines()[0] == "a.yaml on RTX4090"
    assert text.splitlines()[1].startswith("  ok      verdict: fits RTX4090, at the high end ")
    assert text.splitlines()[2].startswith("  broken  memory_gib: ")
    assert "  error   c.yaml is empty; give the config of a run" in text.splitlines()
    assert check_text([BROKEN], Page(colour=True)).count("\x1b[31mbroken\x1b[0m") == 1


def test_a_comparison_and_its_absence_are_said() -> None:
    same = replace(GOOD, base=planned("a.yaml before"), compared=True)
    assert "compared with before: No change in memory, time or cost" in check_text([same], Page())
    assert "not there before" in check_text([replace(GOOD, compared=True)], Page())
    assert "before" not in check_text([GOOD], Page())


def test_what_no_figure_counts_is_a_warning() -> None:
    side = with_uncounted(planned(), Setting("torch_compile", True, ""))
    run = CheckedRun(side, check_run(side, Limits()))
    assert "not counted: torch_compile true" in check_text([run], Page())
    assert check_json([run])["runs"][0]["uncounted"] == ["torch_compile"]  # pyright: ignore


def test_json_has_the_figures_of_the_plan() -> None:
    before = planned("a.yaml before", rank=64)
    data = json.loads(json.dumps(check_json([replace(BROKEN, base=before, compared=True), REFUSED])))
    assert data["ok"] is False
    first, second = data["runs"]
    assert (first["file"], first["ok"], first["refused"]) == ("a.yaml", False, False)
    assert first["limits"][1]["expected"] == SIDE.plan.memory.peak_bytes.reserved / 1024**3
    assert first["limits"][1]["held"] == SIDE.plan.memory.interval_bytes.high / 1024**3
    difference = SIDE.plan.memory.peak_bytes.reserved - before.plan.memory.peak_bytes.reserved
    assert first["comparison"]["reserved_bytes"] == difference < 0
    assert {field["name"] for field in first["comparison"]["fields"]} == {"rank", "alpha"}
    assert second["not_planned_because"] == "c.yaml is empty; give the config of a run" and second["refused"]


def test_a_comment_begins_with_what_is_broken() -> None:
    document = check_document(
        [GOOD, replace(BROKEN, base=planned("before", rank=64), compared=True)], most=2, with_tables=True
    )
    assert document.title == "lora-plan: 1 of 2 runs breaks its limits"
    first, limits, tables, second, folded = document.lead
    assert isinstance(first, Paragraph) and first.words[:2] == (Code("a.yaml"), " on RTX4090")
    assert Strong("breaks memory_gib") in first.words
    assert any(isinstance(word, Strong) and word.text.startswith("-") for word in first.words)
    assert isinstance(limits, Table) and len(limits.rows) == 2
    assert isinstance(tables, Folded) and len(tables.blocks) > 3
    assert isinstance(second, Paragraph) and "within its limits" in second.words
    assert isinstance(folded, Folded) and folded.summary == "Each limit"


def test_a_comment_can_be_cut_short() -> None:
    document = check_document([GOOD, BROKEN, GOOD], most=1, with_tables=False)
    first, rest = document.lead
    assert isinstance(first, Paragraph) and isinstance(rest, Paragraph)
    assert any(BROKEN.limits[1].text in word.text for word in first.words if isinstance(word, Strong))
    assert rest.words == "2 more runs are not listed."

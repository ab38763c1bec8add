"""The scoreboard of an engine: one line for each source under its level, reasons, and the worst rows explained."""

from __future__ import annotations

import pytest

from profiler.validate.summary import summarize
from reports.page import Page
from reports.validation import validation_text
from reports.validation_cells import REASONS
from tests.profiler.validate.samples import scored
from tests.reports.validations import explained, scores

TABLE = """\
Estimates beside 6 measured runs: 4 scored
            rows  scored   bias  median  90th  worst  low  held  width
  allocated
    bench      3       2  -3.5%    4.5%  7.3%  -8.0%  50%   50%   6.3%
    litgpt     1       1  +2.0%    2.0%  2.0%  +2.0%   0%     –      –
    all        4       3  +1.0%    2.0%  6.8%  -8.0%  33%   50%   6.3%
  reserved
    suite      2       1  -4.0%    4.0%  4.0%  -4.0%   0%     –      –
"""


def shown(page: Page | None = None) -> str:
    rows = scores()
    worst = [explained(rows[0]), explained(rows[4])]
    return validation_text("plan", summarize(rows), worst, None, page or Page())


def test_a_line_for_each_source_under_its_level() -> None:
    assert shown().startswith(TABLE)


def test_what_is_abstained_from_is_counted_by_reason() -> None:
    text = shown()
    assert "Abstained from 2 of 6 rows; from 1 of the 5 (20%) whose method, kernels and\nstrategy it has\n" in text
    assert "\n  1  a PEFT method that the planner does not have\n  1  the row does not state the settings\n" in text
    assert "Abstained" not in validation_text("plan", summarize(scores()[:2]), [], None, Page())


def test_many_reasons_are_cut() -> None:
    rows = [scored(str(number), None, reason=f"reason {number}") for number in range(REASONS + 3)]
    text = validation_text("plan", summarize(rows), [], None, Page())
    assert f"reason {REASONS - 1}\n  and 3 more reasons, which --json has\n" in text


def test_the_worst_rows_stand_below() -> None:
    assert "\n\n1. a (bench): -8.0%\n" in shown()
    assert "\n\n2. e (suite): -4.0%\n" in shown()


def test_what_became_worse_or_that_nothing_did() -> None:
    summary = summarize(scores())
    assert "scoreboard" not in validation_text("plan", summary, [], None, Page())
    assert validation_text("plan", summary, [], [], Page()).endswith("\nNo worse than the committed scoreboard\n")
    worse = validation_text("simulate", summary, [], ["bench: 2 rows scored, 3 before"], Page())
    assert worse.startswith("Simulations beside")
    assert worse.endswith("\nWorse than the committed scoreboard\n  - bench: 2 rows scored, 3 before\n")


@pytest.mark.parametrize("width", range(40, 101, 5))
def test_every_width(width: int) -> None:
    text = shown(Page(width=width))
    assert max(map(len, text.splitlines())) <= width
    assert "litgpt" in text and "+2.0%" in text


def test_names_that_a_file_makes_up_neither_break_the_table_nor_reach_the_terminal_raw() -> None:
    rows = [scored("x" * 300, 0.5, source="\x1b[31m" + "s" * 300, level="l\n" * 200)]
    text = validation_text("plan", summarize(rows), [explained(rows[0])], None, Page())
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert f"{'s' * 33}.." in text


def test_a_level_or_a_source_that_is_not_stated_is_said() -> None:
    text = validation_text("plan", summarize([scored("a", None, source="", level="")]), [], None, Page())
    assert "  level not stated\n    no source " in text


def test_colour_and_ascii() -> None:
    plain = shown()
    assert "\x1b[1mEstimates beside" in shown(Page(colour=True))
    assert shown(Page(unicode=False)).isascii()
    assert not plain.isascii()

"""Speeds for people: a line for each source held out and as shipped, and the worst rows explained."""

from __future__ import annotations

import pytest

from profiler.speed.runs import published
from profiler.speed.score import score_speeds
from profiler.speed.summary import summarize_speeds
from profiler.validate.summary import summarize
from reports.page import Page
from reports.validation import validation_text
from reports.validation_speeds import furthest, speed_section
from tests.profiler.speed.speeds import timed
from tests.reports.validations import scores

ROWS = [
    timed("a", 0.02, 0.05),
    timed("b", -0.04, -0.3),
    timed("c", None),
    timed("d", 0.5, 0.6, source="other", num_gpus=2),
]

TABLE = """\
Speeds beside 4 measured ones: 3 scored
                         rows  scored    bias  median   90th   worst  held  width
  each row by the other sources alone
    bench                   3       2  -12.5%   17.5%  27.5%  -30.0%   50%  10.0%
    other                   1       1  +60.0%   60.0%  60.0%  +60.0%    0%  10.0%
    all                     4       3   +5.0%   30.0%  54.0%  +60.0%   33%  10.0%
    one GPU                 3       2  -12.5%   17.5%  27.5%  -30.0%   50%  10.0%
    one GPU, hf kernels     3       2  -12.5%   17.5%  27.5%  -30.0%   50%  10.0%
  fitted on these rows too
    bench                   3       2   -1.0%    3.0%   3.8%   -4.0%  100%  10.0%
    other                   1       1  +50.0%   50.0%  50.0%  +50.0%    0%  10.0%
    all                     4       3   +2.0%    4.0%  40.8%  +50.0%   67%  10.0%
    one GPU                 3       2   -1.0%    3.0%   3.8%   -4.0%  100%  10.0%
    one GPU, hf kernels     3       2   -1.0%    3.0%   3.8%   -4.0%  100%  10.0%
"""


def shown(page: Page, *, peaks: bool = False) -> str:
    return validation_text("plan", summarize(scores() if peaks else []), [], None, page, summarize_speeds(ROWS))


def test_a_line_for_each_source_and_group_held_out_first() -> None:
    assert shown(Page(width=90)).startswith(TABLE)


def test_what_was_never_fitted_on_has_one_table() -> None:
    text = validation_text("plan", summarize([]), [], None, Page(), summarize_speeds([timed("a", 0.1)]))
    assert text.startswith("Speeds beside 1 measured one: 1 scored\n")
    assert "fitted" not in text and "other sources" not in text


def test_speeds_stand_below_peaks_whose_reasons_they_share() -> None:
    text = shown(Page(), peaks=True)
    assert text.startswith("Estimates beside 6 measured runs: 4 scored\n")
    assert "\n\nSpeeds beside 4 measured ones: 3 scored\n" in text
    assert text.count("Abstained from") == 1
    assert "\nAbstained from 1 of 4 rows\n  1  there are no formulas for it\n" in shown(Page())


@pytest.mark.parametrize("width", range(40, 101, 10))
def test_every_width(width: int) -> None:
    text = shown(Page(width=width), peaks=True)
    assert max(map(len, text.splitlines())) <= width


def test_the_worst_are_those_that_their_sources_did_not_help() -> None:
    assert [row.id for row in furthest(ROWS, 2)] == ["d", "b"]
    assert [row.id for row in furthest([timed("x", 0.1), timed("y", -0.2)], 5)] == ["y", "x"]


def test_a_row_is_explained_by_its_run_and_the_seconds_of_its_step() -> None:
    [row] = score_speeds(record for record in published() if record.id == "3090-3")
    text = " ".join("\n".join(speed_section(1, row, Page())).split())
    assert text.startswith("1. 3090-3 (fsdp-qlora): +")
    assert "Llama-2-7b-hf lora, 2 × rtx-3090 with fsdp, 1 × 512 tokens, rank 64, bfloat16, checkpointing" in text
    assert "tokens per second and GPU: measured 101, predicted " in text
    assert "; by the other sources alone " in text
    assert "a step as predicted: matrix products 0." in text and "exchange " in text

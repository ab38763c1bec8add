"""The terminal view of a verification against golden files, and what holds of it at any width."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from profiler.judgement import OUTSIDE, WITHIN
from profiler.measure.types import OUT_OF_MEMORY
from profiler.verification import verified
from reports.page import Page
from reports.verification import verdict_word, verification_text
from tests.reports.verifications import FAILED, VERIFICATIONS, on_a_cpu, out_of_memory, outside, slices, within

RECORD = "record 17 of ~/records.db"


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_the_view_at_80_columns(name: str, golden: Callable[[str, str], None]) -> None:
    golden(verification_text(VERIFICATIONS[name](), Page(), record=RECORD), f"verification_{name}.txt")


def test_the_view_on_a_narrow_page_in_ascii(golden: Callable[[str, str], None]) -> None:
    text = verification_text(outside(), Page(40, unicode=False))
    assert text.isascii()
    golden(text, "verification_narrow_ascii.txt")


def test_the_verdict_comes_first_with_all_three_figures() -> None:
    first, *rest = verification_text(within(), Page(100)).splitlines()
    assert first == "WITHIN 5%   Llama-3.1-70B QLoRA on NVIDIA A100-SXM4-80GB, measured"
    assert rest[0] == "  measured 46.6 GiB reserved, estimate 45.6 GiB (-2.2%), simulation 46.8 GiB (+0.5%)"


@pytest.mark.parametrize(
    ("tolerance", "check_time", "word"),
    [(0.05, False, "WITHIN 5%"), (0.025, False, "WITHIN 2.5%"), (0.02, False, "OUTSIDE 2%"), (0.05, True, "WITHIN")],
)
def test_the_word_has_the_tolerance(tolerance: float, check_time: bool, word: str) -> None:
    said = within()
    again = verified(said.measurement, said.plan, None, said.simulation, None, tolerance, check_time=check_time)
    assert verdict_word(again) == word


def test_out_of_memory_against_what_was_said() -> None:
    said = out_of_memory()
    assert said.plan
    against = verified(said.measurement, replace(said.plan, verdict="fits"), None, None, None)
    assert verdict_word(said) == "OUT OF MEMORY, as said"
    assert verdict_word(against) == "OUT OF MEMORY, not foreseen"


def test_where_a_record_is_kept_is_said_where_there_is_one() -> None:
    assert "stored as" not in verification_text(within(), Page())
    assert f"  - stored as {RECORD}" in verification_text(within(), Page(), record=RECORD)


def test_notes_of_the_command_come_first() -> None:
    text = verification_text(within(), Page(), record=RECORD, notes=["no run was given"])
    assert text.partition("Notes\n")[2].startswith("  - no run was given\n  - 4 steps were timed")


def test_on_a_cpu_nothing_is_said_of_what_an_allocator_reserves() -> None:
    said = on_a_cpu()
    # the columns have it: of the measured run it is a replay
    assert said.reconciliation
    assert [line.name for line in said.reconciliation.levels][:2] == ["allocated", "reserved"]
    lines = verification_text(said, Page(100)).splitlines()
    peak = lines.index("  the peak")
    assert [line.split()[0] for line in lines[peak + 1 : peak + 3]] == ["allocated", "allocated"]
    assert not [line for line in lines if line.lstrip().startswith("reserved")]
    assert "  a CPU's time is not estimated" in lines


def test_slices_are_said_to_stand_for_the_whole_model() -> None:
    title, _, stands, *_ = verification_text(slices(), Page(200)).splitlines()
    assert title.endswith("for A100-80GB-SXM on Tesla T4, measured in slices")
    assert stands == (
        "  every figure stands for the whole model of 80 layers: it follows from models of 2 and 3 layers at full "
        "width, which were run"
    )
    failed = replace(slices().measurement, memory=None, outcome=OUT_OF_MEMORY, out_of_memory=FAILED)
    assert "stands for" not in verification_text(verified(failed, None, "", None, ""), Page(200))


def test_outside_with_no_line_that_stands_out() -> None:
    said = on_a_cpu()
    assert said.reconciliation
    measurement = said.measurement
    again = verified(measurement, None, "no formulas", said.simulation, None, 0.0)
    off = replace(again, verdict=OUTSIDE)
    assert not off.causes
    assert "  - no line by itself is more than 1% of the peak apart: small" in verification_text(off, Page(100))
    assert "What is off" not in verification_text(again, Page(100))


def test_where_weights_come_from() -> None:
    said = within()
    assert "NVIDIA A100-SXM4-80GB, random weights" in verification_text(said, Page(200))
    loaded = replace(said, measurement=replace(said.measurement, weights="~/llama"))
    assert "NVIDIA A100-SXM4-80GB, weights of '~/llama'" in verification_text(loaded, Page(200))


def test_one_step_has_no_interval() -> None:
    said = within()
    assert said.measurement.time
    one = replace(said.measurement, time=replace(said.measurement.time, samples=said.measurement.time.samples[:1]))
    text = verification_text(verified(one, said.plan, None, None, "not asked for"), Page(100))
    assert "Time of a step of 2,048 tokens, one timed step" in text
    assert "  measured 352 tokens/s; MFU 34%, HFU 51%" in text
    assert "  no simulation: not asked for" in text


@pytest.mark.parametrize("name", VERIFICATIONS)
@pytest.mark.parametrize("width", [40, 52, 64, 80, 100])
def test_no_line_is_wider_than_the_page(name: str, width: int) -> None:
    text = verification_text(VERIFICATIONS[name](), Page(width), record=RECORD)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("name", VERIFICATIONS)
def test_colour_adds_nothing_but_escapes(name: str) -> None:
    coloured = verification_text(VERIFICATIONS[name](), Page(colour=True))
    assert "\x1b[" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    without = verification_text(VERIFICATIONS[name](), Page())
    assert [line.rstrip() for line in plain.splitlines()] == without.splitlines()


def test_the_colour_of_the_verdict() -> None:
    assert within().verdict == WITHIN
    assert verification_text(within(), Page(colour=True)).startswith("\x1b[1;32mWITHIN 5%")
    assert verification_text(outside(), Page(colour=True)).startswith("\x1b[1;31mOUTSIDE 5%")

"""The bar of a simulation: on a terminal only, and gone afterwards."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest

from lora_plan.__main__ import main
from lora_plan.progress import ProgressBar
from tests.lora_plan.test_simulate_command import SIMULATE, Simulator

HIDE_CURSOR, SHOW_CURSOR, ERASE_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("profiler.simulate.simulate.simulate", Simulator())
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")


def shown_by_a_bar(stderr: io.StringIO) -> str:
    with contextlib.redirect_stderr(stderr):
        bar = ProgressBar()
        bar.tell("importing the training stack", 0.0)
        bar.tell("tracing a step", 0.5)
        bar.close()
    return stderr.getvalue()


def simulate_on_a_terminal(*argv: str) -> tuple[str, str]:
    """What is on stdout, and what was on the terminal."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(Terminal()) as terminal:
        assert main([*SIMULATE, *argv]) == 0
    return out.getvalue(), terminal.getvalue()


def test_the_bar_names_the_phase_and_is_wiped_out() -> None:
    shown = shown_by_a_bar(Terminal())
    assert shown.startswith(HIDE_CURSOR)
    assert "tracing a step" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert shown.endswith(ERASE_LINE)


def test_a_pipe_shows_nothing() -> None:
    assert shown_by_a_bar(io.StringIO()) == ""


def test_a_bar_that_was_told_nothing_shows_nothing() -> None:
    with contextlib.redirect_stderr(Terminal()) as terminal:
        ProgressBar().close()
    assert terminal.getvalue() == ""


def test_a_simulation_shows_it_and_the_cache_does_not() -> None:
    out, terminal = simulate_on_a_terminal()
    assert out.startswith("FITS")
    assert "tracing a step" in terminal
    assert simulate_on_a_terminal() == (out, "")


def test_json_goes_without_it() -> None:
    out, terminal = simulate_on_a_terminal("--json")
    assert json.loads(out)["verdict"] == "fits"
    assert terminal == ""

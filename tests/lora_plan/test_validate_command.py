"""`lora-plan validate`: the scoreboard it prints, the files it takes, what it refuses, and when it exits with 1."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_plan.__main__ import main
from lora_plan.commands.validate import OPTIONS
from profiler.corpus.record import CORPUS, Record
from profiler.speed.runs import SPEEDS, published
from profiler.validate.score import Score
from profiler.validate.scoreboard import Board, board_of
from tests.lora_plan.cli import call
from tests.lora_plan.test_bad_input import refused, refused_in_json
from tests.lora_plan.test_simulate_progress import Terminal
from tests.profiler.validate.samples import scored

ROWS = list(csv.DictReader(CORPUS.read_text(encoding="utf-8").splitlines()))

FULL = {
    "id": "mine",
    "model": "mistralai/Mistral-7B-v0.1",
    "method": "full",
    "base_dtype": "bfloat16",
    "micro_batch_size": "4",
    "seq_len": "4096",
    "gradient_checkpointing": "True",
    "gpu": "a100-80",
    "level": "allocated",
    "peak_bytes": "72434837504",
}
"""A full fine-tuning of the corpus, in as few columns as a plan takes."""


def write(path: Path, *rows: dict[str, str]) -> str:
    """A corpus file; its columns are those of its first row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return write(tmp_path / "mine.csv", FULL)


def test_the_projects_own_corpus() -> None:
    outcome = call("validate")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Estimates beside {len(ROWS)} measured runs: ")
    assert "  allocated\n" in outcome.out and "  reserved\n" in outcome.out
    assert "    peft-metamathqa " in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\x1b" not in outcome.out


def test_json_has_every_row() -> None:
    outcome = call("validate", "--json")
    data = json.loads(outcome.out)
    assert (outcome.status, outcome.err) == (0, "")
    assert (data["engine"], data["corpus"]) == ("plan", [str(CORPUS), str(SPEEDS)])
    assert [row["id"] for row in data["rows"]] == [row["id"] for row in ROWS]
    for row in data["rows"]:
        assert (row["predicted"] is None) == (row["error"] is None) == (row["reason"] is not None)
        if row["error"] is not None:
            assert row["error"] == pytest.approx(row["predicted"] / row["measured"] - 1)
    assert sum(level["rows"] for level in data["summary"]["levels"]) == len(ROWS)
    assert (data["worst"], data["regressions"]) == ([], None)


def test_a_file_of_ones_own_with_few_columns_and_others_beside_them(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.csv", FULL | {"mood": "good", "seed": "7"})
    [row] = json.loads(call("validate", "--corpus", file, "--json").out)["rows"]
    assert (row["id"], row["source"], row["measured"]) == ("mine", "", 72434837504)
    assert row["error"] == pytest.approx(0, abs=0.001)
    assert "attention" in row["unknown"]


def test_several_files(tmp_path: Path, mine: str) -> None:
    other = write(tmp_path / "other.csv", FULL | {"id": "other", "source": "bench"})
    data = json.loads(call("validate", "--corpus", mine, "--corpus", other, "--json").out)
    assert data["corpus"] == [mine, other]
    assert [row["id"] for row in data["rows"]] == ["mine", "other"]


def test_one_level_alone() -> None:
    data = json.loads(call("validate", "--level", "Allocated", "--json").out)
    assert {row["level"] for row in data["rows"]} == {"allocated"}
    assert len(data["rows"]) == sum(row["level"] == "allocated" for row in ROWS)


def test_speeds_stand_below_peaks() -> None:
    text = call("validate").out
    assert f"\n\nSpeeds beside {len(published())} measured ones: " in text
    assert "\n  each row by the other sources alone\n    fms-acceleration " in text
    assert "Speeds" not in call("validate", "--level", "allocated").out


def test_speeds_alone() -> None:
    outcome = call("validate", "--level", "Speed", "--worst", "1")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("Speeds beside ")
    assert "\n1. " in outcome.out and "a step as predicted: " in outcome.out
    data = json.loads(call("validate", "--level", "speed", "--json").out)
    assert data["rows"] == [] and len(data["speeds"]["rows"]) == len(published())
    for row in data["speeds"]["rows"]:
        assert (row["predicted_tokens_per_s"] is None) == (row["error"] is None) == (row["reason"] is not None)
        # every row of the project's own that is predicted is also held out
        assert (row["error"] is None) == (row["held_out_error"] is None)


def test_a_speed_of_ones_own(tmp_path: Path) -> None:
    timed = FULL | {"tokens_per_s_per_gpu": "3000", "peak_bytes": "", "level": ""}
    data = json.loads(call("validate", "--corpus", write(tmp_path / "a.csv", timed), "--json").out)
    [row] = data["speeds"]["rows"]
    assert row["measured_tokens_per_s"] == 3000
    assert row["error"] == pytest.approx(row["predicted_tokens_per_s"] / 3000 - 1)
    assert (row["held_out_error"], data["speeds"]["summary"]["held_out"], data["rows"]) == (None, [], [])
    both = write(tmp_path / "b.csv", FULL | {"step_s": "5.5"})
    data = json.loads(call("validate", "--corpus", both, "--json").out)
    assert data["speeds"]["rows"][0]["measured_tokens_per_s"] == pytest.approx(4 * 4096 / 5.5)
    assert len(data["rows"]) == 1


def test_a_file_without_speeds_has_no_table_of_them(mine: str) -> None:
    assert "Speeds" not in call("validate", "--corpus", mine).out
    assert json.loads(call("validate", "--corpus", mine, "--json").out)["speeds"] is None
    assert "no run has a speed" in refused(call("validate", "--corpus", mine, "--level", "speed"))


def test_speed_can_be_checked_alone() -> None:
    outcome = call("validate", "--level", "speed", "--check")
    assert outcome.status == 0
    assert outcome.out.endswith("\nNo worse than the committed scoreboard\n")


def test_the_worst_rows_are_explained() -> None:
    outcome = call("validate", "--worst", "2")
    assert "\n1. " in outcome.out and "\n2. " in outcome.out and "\n3. " not in outcome.out
    assert "base weights" in outcome.out
    data = json.loads(call("validate", "--worst", "2", "--json").out)
    sizes = sorted((abs(row["error"]) for row in data["rows"] if row["error"] is not None), reverse=True)
    assert [abs(row["error"]) for row in data["worst"]] == sizes[:2]
    assert all(row["components"]["base_weights"] > 0 and row["run"]["model"] for row in data["worst"])


def test_all_rows_may_be_asked_for(mine: str) -> None:
    assert "1. mine: " in call("validate", "--corpus", mine, "--worst", "9").out


def test_check_is_met_by_what_is_committed() -> None:
    outcome = call("validate", "--check")
    assert outcome.status == 0
    assert outcome.out.endswith("\nNo worse than the committed scoreboard\n")


def test_check_fails_on_what_became_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    def better(engine: str) -> Board:
        [standing] = board_of([scored("a", 0.0, source="fms-acceleration")]).standings
        return Board((standing, replace(standing, source="peft-metamathqa", level="reserved")), {})

    monkeypatch.setattr("profiler.validate.scoreboard.read_board", better)
    outcome = call("validate", "--check")
    assert outcome.status == 1
    assert "Worse than the committed scoreboard\n  - fms-acceleration, allocated: " in outcome.out
    as_json = call("validate", "--check", "--level", "reserved", "--json")
    assert as_json.status == 1
    regressions = json.loads(as_json.out)["regressions"]
    assert regressions and all(text.startswith("peft-metamathqa, reserved: ") for text in regressions)


class Scorer:
    """Stands for `score_records`."""

    def __init__(self) -> None:
        self.engines: list[str] = []

    def __call__(self, records: Sequence[Record], engine: str, progress: Any = None) -> list[Score]:
        self.engines.append(engine)
        if progress:
            progress(1, len(records))
        return [scored(record.id, 0.01) for record in records]


def test_the_simulation_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, mine: str) -> None:
    scorer = Scorer()
    monkeypatch.setattr("profiler.validate.scoring.score_records", scorer)
    monkeypatch.setenv("TERM", "xterm")
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(Terminal()) as terminal:
        assert main(["validate", "--corpus", mine, "--engine", "Simulate"]) == 0
        assert "1 of 1 rows" in terminal.getvalue()
        assert out.getvalue().startswith("Simulations beside 1 measured run: 1 scored\n")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(Terminal()) as terminal:
        assert main(["validate", "--corpus", mine, "--engine", "simulate", "--json"]) == 0
        assert main(["validate", "--corpus", mine]) == 0
        assert terminal.getvalue() == ""
    assert scorer.engines == ["simulate", "simulate", "plan"]


BAD = {
    "no file there": (("--corpus", "nowhere.csv"), "corpus", "nowhere.csv"),
    "a folder": (("--corpus", "."), "corpus", "'.'"),
    "another engine": (("--engine", "simulat"), "engine", "did you mean 'simulate'"),
    "no engine": (("--engine", ""), "engine", "--engine must be plan or simulate"),
    "speeds of an engine without": (("--level", "speed", "--engine", "simulate"), "level", "predicts no speeds"),
    "a level of no row": (("--level", "vram"), "level", "no run was measured at 'vram'; they are at allocated"),
    "no rows to explain": (("--worst", "0"), "worst", "--worst must be a whole number from 1, not '0'"),
    "a share of the rows": (("--worst", "1.5"), "worst", "not '1.5'"),
    "more than a number": (("--worst", "٣"), "worst", "whole number"),
    "a check of other rows": (("--check", "--corpus", str(CORPUS)), "check", "leave out --corpus"),
    "an option of the plan": (("--rank", "8"), None, "option '--rank' is not known"),
    "an option without its value": (("--corpus", "--json"), None, "'--corpus' needs a value"),
    "an option at the end": (("--engine",), None, "'--engine' needs a value"),
    "a switch with a value": (("--check=yes",), None, "'--check' is a switch"),
    "a word": (("mine.csv",), None, "mine.csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_options(name: str) -> None:
    argv, field, words = BAD[name]
    assert words in refused(call("validate", *argv))
    error = refused_in_json(call("validate", "--json", *argv))
    assert error["field"] == field
    assert error["kind"] in ("input", "usage")


FILES = {
    "empty": b"",
    "blank": b"\n\n",
    "a header alone": b"id,source,model,level,peak_bytes\n",
    "columns of nobody": b"a,b\n1,2\n",
    "binary": bytes(range(256)) * 8,
    "latin-1": "id,source\nrow,Universität\n".encode("latin-1"),
    "a column twice": b"id,model,peak_bytes,peak_bytes\na,gpt2,1,2\n",
    "too many cells": b"id,model\na,gpt2,1,2\n",
    "text in a column of numbers": b"id,model,rank\na,gpt2,large\n",
    "a number that is too large": b"id,model,peak_bytes\na,gpt2,1e400\n",
    "less than nothing": b"id,model,peak_bytes\na,gpt2,-5\n",
    "a quote without an end": b'id,model\n"a,gpt2\n',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_corpus_is_one_sentence(name: str, tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    file.write_bytes(FILES[name])
    assert "runs.csv" in refused(call("validate", "--corpus", str(file)))


def test_the_help_holds_every_option_whole() -> None:
    outcome = call("validate", "--help")
    assert outcome.status == 0
    assert outcome.out.startswith("  lora-plan validate [OPTIONS]\n")
    assert max(map(len, outcome.out.splitlines())) <= 80
    for option in OPTIONS:
        assert f"│ {option.flag} {option.metavar}".rstrip() in outcome.out
    assert "lora-plan validate [OPTIONS]" in call("--help").out

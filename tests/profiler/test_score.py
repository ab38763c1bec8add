"""The score: rows become runs as they state them, and nothing is assumed in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import Abstention, InputError
from profiler.rows import CORPUS, read_rows, run_of
from profiler.score import compared, main, score, summary

ROWS = read_rows(CORPUS)
BY_ID = {row["id"]: row for row in ROWS}


def test_the_corpus_names_its_sources_and_levels() -> None:
    assert len(ROWS) == len(BY_ID) == 98
    assert {row["level"] for row in ROWS} == {"allocated", "reserved"}
    assert all(row["source"] and row["published"] and int(float(row["peak_bytes"])) > 10**9 for row in ROWS)
    assert all((row["n_gpus"], row["kernels"]) == ("1", "hf") for row in ROWS)


def test_a_row_becomes_the_run_it_states() -> None:
    row = BY_ID["refs:37cdcc6d:52"]
    run = run_of(row)
    assert (run.model, run.method, run.rank) == ("NousResearch/Llama-2-70b-hf", "qlora", 16)
    assert run.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (run.micro_batch_size, run.sequence_length, run.packing) == (4, 4096, True)
    assert (run.quantization, run.double_quant, run.prepare_kbit) == ("nf4", True, False)
    assert (run.base_dtype, run.mixed_precision) == ("float16", "fp16")


def test_a_method_the_planner_does_not_have_is_abstained_from() -> None:
    row = next(row for row in ROWS if row["method"] == "boft")
    with pytest.raises(Abstention, match="does not have"):
        run_of(row)


def test_every_row_has_a_prediction_or_a_reason() -> None:
    scores = score(ROWS)
    assert all((item.predicted is None) == bool(item.reason) for item in scores)
    full = [s for s in scores if BY_ID[s.id]["method"] == "full"]
    assert len(full) == 4
    assert all(abs(s.error or 1) < 0.001 for s in full)


def test_the_summary_counts_every_row() -> None:
    text = summary(score(ROWS))
    assert "fms-acceleration, allocated" in text
    assert "of 98 rows abstained from" in text


def test_the_comparison_lists_each_row_that_an_engine_predicts() -> None:
    scores = score(ROWS)
    text = compared(scores, scores)
    assert text.count("\n| refs:") + text.count("\n| liger:") == 21
    assert "allocated: 21 rows, mean absolute error" in text
    assert "| refs:0d286cea:8 | allocated | 72,434,837,504 | -0.00% | -0.00% |" in text


@pytest.mark.slow
def test_the_simulation_scores_rows_by_the_loop_and_the_versions_that_they_name() -> None:
    ids = ("refs:37cdcc6d:36", "refs:b15f5ead:56", "refs:b15f5ead:100")
    scores = score([BY_ID[row] for row in ids], "simulate")
    assert [item.error is not None and abs(item.error) < 0.0005 for item in scores] == [True, True, False]
    assert scores[2].reason == "the kernels of gptq are not simulated"
    assert "The stated interval" not in summary(scores)


def test_an_engine_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--engine", "guess"])
    assert "invalid choice: 'guess'" in capsys.readouterr().err


def test_a_corpus_that_cannot_be_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rows(tmp_path / "none.csv")
    assert main([str(tmp_path / "none.csv")]) == 2
    assert "cannot be read" in capsys.readouterr().err

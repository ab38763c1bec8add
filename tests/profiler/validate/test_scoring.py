"""Every record is scored or abstained from with its reason, and what nothing states is named."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any, cast

import pytest

from planner.errors import InputError
from profiler.corpus.record import CORPUS, Record, read_records
from profiler.validate.engines import ENGINES, Engine, Prediction, planned
from profiler.validate.scoring import score_records

FULL: dict[str, Any] = {
    "source": "bench",
    "model": "mistralai/Mistral-7B-v0.1",
    "method": "full",
    "base_dtype": "bfloat16",
    "mixed_precision": "no",
    "optimizer": "adamw_torch",
    "micro_batch_size": 4,
    "seq_len": 4096,
    "gradient_checkpointing": True,
    "n_gpus": 1,
    "gpu": "a100-80",
    "level": "allocated",
    # refs:0d286cea:8 of fms-acceleration
    "peak_bytes": 72_434_837_504,
}


def one(**changes: Any) -> Any:
    """The score of a full fine-tuning of Mistral-7B, otherwise stated."""
    [score] = score_records([Record(**({"id": "one"} | FULL | changes))])
    return score


def test_a_row_that_the_planner_plans() -> None:
    score = one()
    assert (score.id, score.source, score.level, score.reason) == ("one", "bench", "allocated", "")
    # 10 bytes a parameter, at the optimizer's step: 7.24 billion parameters
    assert score.instant == "optimizer_step"
    assert score.error == pytest.approx(0, abs=0.001)
    assert sum(score.components.values()) == score.predicted
    assert score.covered


def test_what_nothing_states_is_named() -> None:
    assert "attention" in one().unknown
    assert "attention" not in one(attention="sdpa").unknown


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"peak_bytes": None}, "no peak was measured"),
        ({"level": None}, "the source does not say what its peak counts"),
        ({"level": "process", "gpu": None}, "the process level needs the card"),
        ({"level": "reserved_after_load"}, "the level reserved_after_load is not predicted"),
        ({"seq_len": None}, "the longest batch is not published"),
        ({"model": "nobody/has-it"}, "nobody/has-it"),
        ({"method": "telepathy"}, "telepathy"),
    ],
)
def test_what_is_not_predicted_has_its_reason(changes: dict[str, Any], reason: str) -> None:
    score = one(**changes)
    assert reason in score.reason
    assert (score.predicted, score.error, score.instant, score.components) == (None, None, None, {})


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"seq_len": None}, True),
        ({"method": "telepathy"}, False),
        ({"kernels": "of my own"}, False),
        ({"kernels": "litgpt"}, False),
        ({"n_gpus": 8, "strategy": "fsdp_full_shard"}, True),
        ({"n_gpus": 8, "strategy": "fsdp_full_shard", "optimizer": "galore_adamw"}, False),
    ],
)
def test_what_the_engine_does_not_have_at_all_is_not_covered(changes: dict[str, Any], covered: bool) -> None:
    assert one(**changes).covered is covered


def test_the_level_of_nvidia_smi_is_reserved_and_the_context() -> None:
    assert one(level="process").predicted > one(level="reserved").predicted > one().predicted


def test_a_failure_costs_its_own_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(record: Record) -> Prediction:
        return planned(record) if record.id == "fine" else {}["key"]

    monkeypatch.setitem(cast("dict[str, Engine]", ENGINES), "plan", fails)
    failed, fine = score_records([Record(id="failed", **FULL), Record(id="fine", **FULL)])
    assert failed.reason == "an error of lora-plan itself (KeyError: 'key'); please report it"
    assert fine.predicted is not None


def test_every_row_of_the_corpus_has_a_prediction_or_a_reason() -> None:
    records = read_records(CORPUS)
    scores = score_records(records)
    assert [score.id for score in scores] == [record.id for record in records]
    assert all((score.predicted is None) == bool(score.reason) for score in scores)
    assert not [score.reason for score in scores if "error of lora-plan" in score.reason]


def test_without_the_training_stack_nothing_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(InputError, match="torch"):
        score_records([Record(id="one", **FULL)], "simulate")

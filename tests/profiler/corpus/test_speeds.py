"""The rows of speeds.csv: what each says, and that its figures agree with each other."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import pytest

from planner.catalogue import find_gpu
from planner.errors import Abstention
from planner.plan import resolve
from profiler.corpus.record import COLUMNS, CORPUS, Record, read_records
from profiler.corpus.sources import sources
from profiler.speed.runs import MODELS, SPEEDS, published, speed_run

RECORDS = read_records(SPEEDS)

DENSE = {"h100": 989.0, "a100-80": 312.0, "a100-40": 312.0}
"""TFLOPS that llm-foundry divides by."""


def test_columns_are_the_schema_and_names_are_of_one_row_alone() -> None:
    with SPEEDS.open(encoding="utf-8", newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    names = Counter(record.id for record in [*RECORDS, *read_records(CORPUS)])
    assert max(names.values()) == 1


def test_every_row_has_a_speed_and_no_peak() -> None:
    for record in RECORDS:
        assert record.tokens_per_s_per_gpu and record.step_s, record.id
        assert record.peak_bytes is None and record.level is None, record.id
        assert record.published and record.grade in ("A", "B"), record.id
        assert record.micro_batch_size and record.n_gpus and record.seq_len and record.gpu, record.id
        assert find_gpu(record.gpu)


def test_speeds_agree_with_step_times() -> None:
    for record in RECORDS:
        assert record.seq_len and record.step_s and record.tokens_per_s_per_gpu and record.micro_batch_size
        tokens = record.micro_batch_size * (record.grad_accum or 1) * record.seq_len
        assert tokens / record.step_s == pytest.approx(record.tokens_per_s_per_gpu, rel=0.02), record.id


def test_every_source_is_described_and_every_description_used() -> None:
    assert {record.source for record in [*RECORDS, *read_records(CORPUS)]} == set(sources())
    for record in RECORDS:
        assert sources()[record.source].evidence


@pytest.mark.parametrize(
    "model", sorted({record.model for record in RECORDS if "offload" not in (record.strategy or "")})
)
def test_every_model_is_known(model: str) -> None:
    path = MODELS / f"{model}.json"
    assert resolve(str(path) if path.exists() else model)[1].parameters > 1e8


def mfu(record: Record) -> float:
    """As llm-foundry's README has it: 3 x (2 x parameters + attention of all pairs), over the card's dense rate."""
    printed = re.search(r"; (\d+) parameters", record.note)
    config = json.loads((MODELS / f"{record.model}.json").read_text(encoding="utf-8"))
    assert printed and record.seq_len and record.tokens_per_s_per_gpu and record.gpu
    attention = 2 * 2 * config["num_hidden_layers"] * config["hidden_size"] * record.seq_len
    flops = 3 * (2 * int(printed[1]) + attention)
    return flops * record.tokens_per_s_per_gpu / DENSE[record.gpu] / 1e12


def test_throughput_of_mpt_is_what_its_printed_utilization_says() -> None:
    """Speeds and utilization are printed beside each other: neither was carried over wrongly."""
    checked = 0
    for record in RECORDS:
        printed = re.search(r"printed MFU ([\d.]+) %", record.note)
        if record.source == "llm-foundry" and printed:
            assert 100 * mfu(record) == pytest.approx(float(printed[1]), rel=0.02), record.id
            checked += 1
    assert checked == 72


def test_runs_with_offload_are_abstained_from() -> None:
    """Weights in host memory are no strategy of the planner's. (Two ran Mistral-7B-v0.2, which it does not know.)"""
    offloaded = [record for record in published() if record.strategy and "offload_params" in record.strategy]
    assert len(offloaded) == 9
    for record in offloaded:
        with pytest.raises(Abstention, match="does not have the strategy"):
            speed_run(record)

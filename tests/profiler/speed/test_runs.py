"""Records with a speed, and the runs behind them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.errors import Abstention
from profiler.corpus.record import CORPUS, Record, read_records
from profiler.corpus.sources import sources
from profiler.speed.runs import SPEEDS, predictable, published, sources_of, speed_run, step_tokens, with_speed

RECORD = Record(
    id="mine",
    model="meta-llama/Llama-3.2-1B",
    method="lora",
    rank=16,
    micro_batch_size=4,
    grad_accum=2,
    seq_len=1024,
    gpu="a100-80",
    tokens_per_s_per_gpu=4096.0,
)
BY_ID = {record.id: record for record in published()}


def test_a_speed_becomes_the_seconds_of_an_optimizer_step() -> None:
    found = speed_run(RECORD)
    assert step_tokens(found.run) == 4 * 2 * 1024
    assert found.step_s == 2.0
    assert found.gpu.name == "A100-80GB-SXM"


def test_seconds_are_taken_where_no_tokens_are_given() -> None:
    assert speed_run(replace(RECORD, tokens_per_s_per_gpu=None, step_s=3.0)).step_s == 3.0
    assert speed_run(replace(RECORD, step_s=3.0)).step_s == 2.0


def test_a_record_without_a_speed_or_with_one_that_was_seen_is_left_out() -> None:
    again = replace(RECORD, id="mine-alloc", level="allocated")
    other = replace(RECORD, id="other", tokens_per_s_per_gpu=5000.0)
    silent = replace(RECORD, id="silent", tokens_per_s_per_gpu=None)
    assert with_speed([RECORD, again, silent, other]) == [RECORD, other]


def test_a_card_that_is_not_catalogued_is_abstained_from() -> None:
    with pytest.raises(Abstention, match=r"the card h20 is not in the catalogue"):
        speed_run(replace(RECORD, gpu="h20"))
    with pytest.raises(Abstention, match=r"the card \(not stated\)"):
        speed_run(replace(RECORD, gpu=None))
    assert predictable([replace(RECORD, gpu="h20"), replace(RECORD, method="vera"), RECORD]) == [speed_run(RECORD)]


def test_batches_have_their_mean_length_where_a_source_publishes_that_alone() -> None:
    """Peaks are of the longest batch, 692 tokens; speeds are of all."""
    padded = sources()["peft-metamathqa"].longest_batch_of
    suite = next(
        r for r in published() if r.seq_note == padded and r.id.startswith("MetaMathQA:lora/llama-3.2-3B-rank32@2026")
    )
    assert speed_run(suite).run.sequence_length == 210


def test_a_model_without_a_page_has_its_config_here() -> None:
    found = speed_run(next(record for name, record in BY_ID.items() if name.endswith(":7b:65536")))
    # llm-foundry prints 6,918,905,856 parameters; the table of positions is of the longest run's length in all
    assert found.architecture.parameters == pytest.approx(6_918_905_856, rel=0.001)
    assert found.run.num_gpus == 8


def test_cards_that_were_not_joined_meet_over_pcie() -> None:
    """RTX 3090s have an NVLink bridge, but the note of these says that there was none."""
    found = speed_run(BY_ID["3090-2"])
    assert "no NVLink" in found.record.note
    assert found.gpu.link_bandwidth is None
    assert speed_run(replace(found.record, note="")).gpu.link_bandwidth == 112.5e9


def test_the_projects_own_are_those_of_both_files() -> None:
    records = [*read_records(CORPUS), *read_records(SPEEDS)]
    assert len({record.id for record in records}) == len(records)
    assert {record.id for record in published()} <= {record.id for record in records}
    found = predictable(record for record in published() if record.source in ("philschmid-2025", "l40s-profile"))
    assert sources_of(found) == ("philschmid-2025", "l40s-profile")

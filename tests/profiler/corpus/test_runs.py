"""The data itself: units, levels, ranges, names, duplicates; and against the table that it was carried from."""

from __future__ import annotations

import csv
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from planner.catalogue import find_gpu
from planner.errors import InputError
from planner.plan import resolve
from planner.units import DTYPE_BYTES, MIB
from profiler.corpus.record import COLUMNS, CORPUS, Record, read_records
from profiler.corpus.sources import sources

SHARED = Path(__file__).parents[3] / ".." / "shared" / "data" / "measured" / "corpus.csv"

RECORDS = read_records(CORPUS)

NOT_IN_THE_CATALOGUE = {"h20", "rtx-4090-laptop"}

ALTERED_CARD = "more than the 24 GB of an RTX 4090"
"""In the notes of two rows: see README.md."""

BYTES_PER_WEIGHT = {"nf4": 0.5 + 4 / 64, "nf4-dq": 0.5 + 1 / 64 + 4 / (64 * 256), "gptq-4bit": 0.5}
"""Of bitsandbytes by its block sizes; at the least, of GPTQ."""


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ROWS = rows_of(CORPUS)


def card_bytes(record: Record) -> int | None:
    if record.gpu is None or record.gpu in NOT_IN_THE_CATALOGUE:
        return None
    return find_gpu(record.gpu).gpu.memory_bytes


def on_the_card(record: Record) -> float:
    """Bytes of the base weights that a card holds, at the least."""
    parameters = resolve(record.model)[1].parameters
    assert record.base_dtype is not None and record.quantization is not None and record.strategy is not None
    each = BYTES_PER_WEIGHT.get(record.quantization, DTYPE_BYTES[record.base_dtype])
    if "offload_params" in record.strategy:
        return 0
    shards = record.n_gpus if record.strategy.startswith("fsdp") else 1
    return parameters * each / (shards or 1)


def test_columns_are_the_schema() -> None:
    assert tuple(ROWS[0]) == COLUMNS


def test_numbers_are_written_plainly() -> None:
    for row in ROWS:
        for column in ("rank", "micro_batch_size", "grad_accum", "seq_len", "n_gpus", "peak_bytes", "end_bytes"):
            assert not row[column] or (row[column].isascii() and row[column].isdecimal()), (row["id"], column)
        assert "nan" not in (cell.lower() for cell in row.values()), row["id"]


def test_every_row_is_named_once_and_says_what_was_run_and_measured() -> None:
    assert max(Counter(record.id for record in RECORDS).values()) == 1
    for record in RECORDS:
        assert record.published and record.grade in ("A", "A-data"), record.id
        assert record.peak_bytes and record.level in ("allocated", "reserved", "reserved_after_load"), record.id
        assert record.base_dtype and record.mixed_precision and record.optimizer and record.kernels, record.id
        assert record.micro_batch_size and record.n_gpus and record.strategy and record.attention, record.id
        assert (record.seq_len is None) == (record.grade == "A-data"), record.id


def test_no_run_is_published_twice() -> None:
    figures = Counter((r.model, r.peak_bytes, r.level, r.tokens_per_s_per_gpu, r.step_s) for r in RECORDS)
    assert max(figures.values()) == 1


def test_every_source_says_where_it_was_read() -> None:
    for source in sources().values():
        assert source.evidence
        # one is known by the text that an index stored, without the name of its repository
        assert (source.url.startswith("https://github.com/") and source.commit) or source.name == "l40s-profile"
        notes = {r.seq_note for r in RECORDS if r.source == source.name and r.seq_len is None}
        assert (source.longest_batch is None) == (not notes)
        assert not notes or source.longest_batch_of in notes


@pytest.mark.parametrize("model", sorted({record.model for record in RECORDS}))
def test_every_model_is_known(model: str) -> None:
    assert resolve(model)[1].parameters > 1e9


def test_every_card_is_in_the_catalogue_but_two() -> None:
    cards = {record.gpu for record in RECORDS if record.gpu is not None}
    assert cards > NOT_IN_THE_CATALOGUE
    for card in cards - NOT_IN_THE_CATALOGUE:
        find_gpu(card)
    for card in NOT_IN_THE_CATALOGUE:
        with pytest.raises(InputError):
            find_gpu(card)


def test_peaks_fit_the_card() -> None:
    above = [r for r in RECORDS if (total := card_bytes(r)) is not None and (r.peak_bytes or 0) > total]
    assert len(above) == 2
    assert all(ALTERED_CARD in record.note for record in above)
    for record in RECORDS:
        if record.process_peak_mib is not None:
            assert record.process_peak_mib * MIB <= (card_bytes(record) or 0), record.id


def test_peaks_are_above_the_weights() -> None:
    for record in RECORDS:
        assert record.peak_bytes is not None
        weights = on_the_card(record)
        assert record.peak_bytes > weights, record.id
        if record.end_bytes is not None:
            assert weights < record.end_bytes <= record.peak_bytes, record.id


def test_a_process_holds_what_is_allocated_in_it() -> None:
    for record in RECORDS:
        if record.process_peak_mib is not None and record.level == "allocated":
            assert record.process_peak_mib * MIB > (record.peak_bytes or 0), record.id


def test_more_tokens_need_more_memory() -> None:
    """The same run with a larger batch has no lower peak. Full fine-tuning in bf16 peaks in its optimizer step, the
    batch being what it may: there two runs differ by less than a thousandth either way."""
    same = ("source", "model", "method", "kernels", "n_gpus", "strategy", "level", "quantization", "kbit_upcast")
    groups: dict[object, list[Record]] = {}
    for record in RECORDS:
        if record.source != "peft-metamathqa":
            key = (*(getattr(record, name) for name in same), record.id.rpartition(":")[0], record.seq_len)
            groups.setdefault(key, []).append(record)
    compared = 0
    for group in groups.values():
        ordered = sorted(group, key=lambda record: record.micro_batch_size or 0)
        for small, large in pairwise(ordered):
            if small.micro_batch_size != large.micro_batch_size and small.level == large.level:
                compared += 1
                assert (large.peak_bytes or 0) > 0.999 * (small.peak_bytes or 0), (small.id, large.id)
    assert compared > 50


def test_speeds_agree_with_step_times() -> None:
    checked = 0
    for record in RECORDS:
        if record.seq_len and record.step_s and record.tokens_per_s_per_gpu and record.micro_batch_size:
            tokens = record.micro_batch_size * (record.grad_accum or 1) * record.seq_len
            assert tokens / record.step_s == pytest.approx(record.tokens_per_s_per_gpu, rel=0.05), record.id
            checked += 1
    assert checked > 150


def test_adapter_configs_say_what_their_rows_say() -> None:
    configured = [record for record in RECORDS if record.adapter_config is not None]
    assert len(configured) == 98
    for record in configured:
        assert record.adapter_config is not None
        method = record.method.partition(" ")[0]
        assert str(record.adapter_config["peft_type"]).lower() == method, record.id
        for key, value in (("r", record.rank), ("lora_alpha", record.alpha)):
            if key in record.adapter_config and value is not None:
                assert record.adapter_config[key] == value, record.id


CORRECTED = {
    "transformers": lambda row: row["id"].startswith("refs:0d286cea:"),
    "mixed_precision": lambda row: row["id"].startswith(("refs:0d286cea:", "finetune_lora:")),
    "base_dtype": lambda row: row["id"].startswith("finetune_lora:"),
    "adapter_dtype": lambda row: row["id"].startswith("finetune_lora:"),
    "gpu": lambda row: row["id"].startswith("finetune_lora:"),
    "optimizer": lambda row: "steps1000-ff" in row["id"],
    "seq_note": lambda row: "steps1000" in row["id"] or "batch_size-2" in row["id"],
    "micro_batch_size": lambda row: "batch_size-2" in row["id"],
    "dropout": lambda row: row["id"].startswith("refs:37cdcc6d:"),
    "note": lambda row: True,
}
"""Column -> the rows whose cell README.md says to be another, and why."""


@pytest.mark.skipif(not SHARED.exists(), reason="the table that the corpus was carried from is not here")
def test_the_figures_are_those_that_were_collected() -> None:
    collected = {row["id"]: row for row in rows_of(SHARED)}
    ours = {row["id"]: row for row in ROWS}
    assert set(collected) == {row["id"] for row in ROWS if not added(row)}
    for name, theirs in collected.items():
        row = ours[name]
        for column, cell in theirs.items():
            if same_cell(row[column], cell):
                continue
            assert column in CORRECTED and CORRECTED[column](row), (row["id"], column, row[column], cell)


def added(row: dict[str, str]) -> bool:
    """The rows that README.md calls held out."""
    return row["id"].startswith(("granite:426a4a50:", "refs:0aab2c6f:")) or "; results file of " in row["note"]


def test_added_rows_say_where_they_are_from() -> None:
    rows = [row for row in ROWS if added(row)]
    assert Counter(row["source"] for row in rows) == {"fms-acceleration": 28 + 85, "peft-metamathqa": 26}
    for row in rows:
        if row["source"] == "peft-metamathqa":
            assert re.search(r"; results file of [0-9a-f]{8}$", row["note"]), row["id"]
        else:
            assert row["id"].split(":")[1] in sources()[row["source"]].commit, row["id"]


def test_a_cards_bytes_at_the_end_of_full_fine_tuning_are_those_of_adamw() -> None:
    """In bf16 a parameter has 2 bytes and its two moments 4; sharded under autocast they are float32, 16 with the
    gradient. What is left over is the batch and what cuBLAS keeps."""
    checked = 0
    for record in RECORDS:
        if record.source == "fms-acceleration" and record.method == "full" and record.n_gpus in (1, 2):
            each = 16 if record.n_gpus == 2 and record.mixed_precision == "bf16" else 8 if record.n_gpus == 2 else 6
            expected = resolve(record.model)[1].parameters * each / record.n_gpus
            assert record.end_bytes is not None
            assert 0 <= record.end_bytes - expected < 60e6, record.id
            checked += 1
    assert checked > 30


def same_cell(ours: str, theirs: str) -> bool:
    try:
        # printed figures with two decimals, converted twice
        return ours == theirs or float(ours) == pytest.approx(float(theirs), rel=1e-5)
    except ValueError:
        return False

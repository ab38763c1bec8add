"""Records as a table, one of them whole, and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from planner.run import TrainingRun
from profiler.measure.types import Measurement
from reports.page import Page
from reports.record import record_text
from reports.records import export_text, import_text, model_name, records_text, short_id
from reports.records_json import export_json, import_json, record_json, records_json
from tests.profiler.records.measurements import CPU, DAY, RUN, in_slices, measured, out_of_memory, recorded

FILE = Path("records.sqlite")
RECORDS = [
    recorded(out_of_memory(), DAY + timedelta(days=2)),
    recorded(in_slices(), DAY + timedelta(days=1)),
    recorded(),
    recorded(measured(TrainingRun(model="gpt2", method="full"), CPU)),
]
WIDTHS = (40, 60, 80, 100)


@pytest.mark.parametrize("width", WIDTHS)
def test_lines_fit_the_page(width: int) -> None:
    page = Page(width=width)
    for text in (
        records_text(RECORDS, FILE, page, ["record 1234 in 'records.sqlite' is a record of a newer lora-plan"]),
        *(record_text(record, page) for record in RECORDS),
        export_text(FILE, 4, 6, page),
        import_text(FILE, 4, 1, page),
    ):
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text


def test_a_line_has_the_peaks_and_the_speed() -> None:
    head, oom, sliced, whole, cpu, *rest = records_text(RECORDS, FILE, Page(width=130)).splitlines()
    assert head.split() == ["id", "date", "model", "method", "card", "allocated", "reserved", "process", "tokens/s"]
    memory = RECORDS[2].measurement.memory
    assert memory is not None
    gib = [f"{size / 1024**3:.2f}" for size in (memory.peak_bytes.allocated, memory.peak_bytes.reserved)]
    assert whole.split()[:2] == [RECORDS[2].id[:8], "2026-07-29"]
    assert whole.split()[2:7] == ["llama-3.1-8b", "QLoRA", "A100-80GB-SXM", *gib]
    # 2048 tokens in 1.51 s
    assert whole.split()[-1] == "1,356"
    assert "~1,356" in sliced
    assert oom.count("OOM") == 3
    assert cpu.split()[-3:] == ["–", "–", "1,356"]
    said = " ".join(" ".join(rest).split())
    assert "4 records in 'records.sqlite'; peaks in GiB; OOM: it ran out of memory; ~: extrapolated" in said


def test_without_records_it_says_what_makes_them() -> None:
    text = records_text([], FILE, Page())
    assert text.startswith("No records in 'records.sqlite' yet: `lora-plan verify`")


def test_ids_are_as_long_as_they_have_to_be() -> None:
    one, other = (replace(RECORDS[2], id="abcdef0123" + digit * 54) for digit in "01")
    assert short_id(one, [one, other]) == "abcdef01230"
    assert short_id(one, [one]) == "abcdef01"
    assert short_id(one, [one, one]) == one.id


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "Llama-3.1-8B"),
        ("/home/me/models/mine/config.json", "mine"),
        ("C:\\models\\mine\\", "mine"),
        ("gpt2", "gpt2"),
        ("/", "/"),
    ],
)
def test_a_model_is_named_without_its_folder(model: str, name: str) -> None:
    assert model_name(TrainingRun(model=model)) == name


def test_all_of_a_record_is_shown() -> None:
    record = recorded(PYTORCH_ALLOC_CONF="expandable_segments:True")
    text = " ".join(record_text(record, Page(width=100)).split())
    for said in (
        "llama-3.1-8b QLoRA on NVIDIA A100-SXM4-80GB",
        f"id {record.id}",
        f"key {record.key}",
        "measured 2026-07-29 10:11:12 UTC",
        "driver 580.95.05, CUDA 13.0",
        "PYTORCH_ALLOC_CONF expandable_segments:True",
        "allocated 13.3 GiB reserved 13.6 GiB process 14.1 GiB",
        "1,356.3 tokens/s: 1.51 s a step of 2,048 tokens, between 1.48 s and 1.54 s (95% interval of the mean)",
        "MFU 40%, HFU 50%",
        "rank 16",
        "torch 2.13.0",
        "The card's clocks were not locked",
    ):
        assert said in text
    assert "usable" in text


def test_out_of_memory_is_shown() -> None:
    text = " ".join(record_text(RECORDS[0], Page()).split())
    assert "Memory ran out in step 1, towards end of forward: 2.0 GiB were asked for, 79.0 GiB allocated" in text
    assert "CUDA out of memory. Tried to allocate 2.00 GiB." in text
    assert "The peak at each level" not in text


def test_a_cpu_has_nothing_reserved() -> None:
    text = record_text(RECORDS[3], Page())
    assert "reserved" not in text.split("The run")[0]


def hostile() -> Measurement:
    """What a file that was imported can say."""
    measurement = measured(device=replace(CPU, name="Xeon", kind="cpu"))
    return replace(
        measurement,
        run=RUN.replace(model="meta-llama/Llama-3.1-8B"),
        notes=("\x1b[2J\nline", "x" * 5000),
        weights="\x1b]0;title\x07",
    )


def test_control_characters_are_not_printed() -> None:
    record = recorded(hostile(), OMP_NUM_THREADS="\x1b[31m")
    for text in (record_text(record, Page()), records_text([record], FILE, Page())):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_json_has_sizes_in_bytes() -> None:
    data = records_json(RECORDS, FILE, ["why"])
    assert (data["file"], data["count"], data["unreadable"]) == ("records.sqlite", 4, ["why"])
    first, _, whole, _ = json.loads(json.dumps(data))["records"]
    assert (first["outcome"], first["peak_bytes"]) == ("out_of_memory", None)
    memory = RECORDS[2].measurement.memory
    assert memory is not None
    assert whole["peak_bytes"]["reserved"] == memory.peak_bytes.reserved
    assert whole["device"] == {"kind": "cuda", "name": "NVIDIA A100-SXM4-80GB", "gpu": "A100-80GB-SXM"}


def test_json_of_one_is_the_record_and_what_its_key_is_of() -> None:
    record = RECORDS[2]
    data = record_json(record)
    parts = data.pop("key_parts")
    assert data == json.loads(record.text)
    assert isinstance(parts, dict)
    assert parts["versions"]["python"] == "3.11"
    assert parts["device"]["driver"] == "580.95.05"


def test_json_of_files() -> None:
    ids = [record.id for record in RECORDS]
    assert export_json(FILE, RECORDS, 6) == {"file": "records.sqlite", "records": ids, "rows": 6, "unreadable": []}
    assert import_json(FILE, RECORDS, 1) == {"file": "records.sqlite", "records": ids, "new": 1}


def test_what_became_of_files() -> None:
    said = " ".join(export_text(FILE, 1, 2, Page(), ["one is not"]).split())
    assert said.startswith("1 record in 'records.sqlite', 2 rows of the corpus schema")
    assert said.endswith("Not read - one is not")
    assert import_text(FILE, 4, 1, Page()).split()[:4] == ["4", "records", "imported", "into"]
    assert "3 of them there before" in " ".join(import_text(FILE, 4, 1, Page()).split())
    assert "there before" not in import_text(FILE, 4, 4, Page())

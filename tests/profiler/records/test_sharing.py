"""What is exported is imported exactly; every other file is refused in one sentence that names the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.errors import InputError
from profiler.corpus.record import COLUMNS, CORPUS, read_records
from profiler.records.corpus import COLUMN
from profiler.records.sharing import read_export, write_export
from tests.profiler.records.measurements import CPU, RUN, in_slices, measured, out_of_memory, recorded

RECORDS = [
    recorded(),
    recorded(in_slices()),
    recorded(out_of_memory()),
    recorded(measured(device=CPU)),
    recorded(measured(RUN.replace(eval_batch_size=4)), PYTORCH_ALLOC_CONF='a "quoted", thing'),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "records.csv"


def test_what_is_exported_is_imported(file: Path) -> None:
    assert write_export(file, RECORDS) == 7
    assert read_export(file) == RECORDS


def test_it_is_a_file_of_the_corpus(file: Path) -> None:
    write_export(file, RECORDS)
    assert len(read_records(file)) == 7
    assert file.read_text().splitlines()[0] == ",".join((*COLUMNS, COLUMN))


def test_other_columns_may_be_gone(file: Path) -> None:
    file.write_text(cells([COLUMN], [RECORDS[0].text]))
    assert read_export(file) == RECORDS[:1]


def test_a_file_that_is_there_stays(file: Path) -> None:
    file.write_text("mine")
    with pytest.raises(InputError, match="is there already; name another file, or replace it with --force"):
        write_export(file, RECORDS)
    assert file.read_text() == "mine"
    write_export(file, RECORDS[:1], force=True)
    assert read_export(file) == RECORDS[:1]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (".", "is a folder; name a file in it"),
        ("none/records.csv", "is in no folder that there is"),
        ("/dev/full", "cannot be written (no space left on device)"),
        ("a\0b.csv", "is in no folder"),
        ("x" * 300, "cannot be written (file name too long)"),
    ],
    ids=range(5),
)
def test_a_file_that_cannot_be_written(path: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        write_export(Path(path), RECORDS)
    assert what in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_no_cell_is_a_formula(file: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    record = recorded(measured(RUN))
    write_export(file, [record])
    for row in csv.reader(io.StringIO(file.read_text())):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@"))]


def cells(*rows: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def changed(old: str, new: str) -> str:
    return cells([COLUMN, "id"], [RECORDS[0].text, "a"], [RECORDS[0].text.replace(old, new), "b"])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            CORPUS.read_text(),
            "has no column lora_plan_record, so it holds no records of lora-plan; score its runs with",
        ),
        ("", "has no column lora_plan_record"),
        (cells([COLUMN, COLUMN], ["", ""]), "has no column"),
        (cells([COLUMN]), "holds no records"),
        (cells([COLUMN, "id"], ["", "1"]), "line 2 has nothing in lora_plan_record"),
        (
            cells([COLUMN, "id"], [RECORDS[0].text, "1"], ["{}", "2"]),
            "line 3: lora_plan_record is no record of lora-plan",
        ),
        (cells([COLUMN], ["what"]), "line 2: lora_plan_record is not JSON"),
        (changed('"steps":', '"steps":'), ""),
        (
            changed('"mfu":0.4', '"mfu":0.9'),
            "line 3: lora_plan_record is no record of lora-plan: its id does not match",
        ),
        (changed('"A100-80GB-SXM"', '"H100-SXM"'), "its id does not match its content, so it was changed"),
        (changed('"580.95.05"', '"570.86.10"'), "its key does not match its content, so it was changed"),
        (changed('"lora_plan_record":1', '"lora_plan_record":2'), "line 3: lora_plan_record is a record of a newer"),
        (cells([COLUMN], ["x" * 200_000]), "line 2 is not CSV (field larger than field limit (131072))"),
        (f'{COLUMN}\n"never closed', "is not CSV"),
        ("\0\0\0", "has no column"),
    ],
    ids=range(15),
)
def test_what_is_imported_is_checked(content: str, what: str, file: Path) -> None:
    file.write_text(content)
    if not what:
        assert read_export(file) == RECORDS[:1]
        return
    with pytest.raises(InputError) as caught:
        read_export(file)
    assert what in str(caught.value)
    assert str(caught.value).startswith(f"'{file}'")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(4096)), "is a database; export its records first"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not text in UTF-8"),
        (lambda path: path.symlink_to("nowhere"), "links to a file that does not exist"),
        (lambda path: None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_read(make: Callable[[Path], None], what: str, file: Path) -> None:
    make(file)
    with pytest.raises(InputError, match=what):
        read_export(file)


def test_a_file_that_is_too_large(file: Path) -> None:
    with file.open("wb") as content:
        content.truncate(65 * 2**20)
    with pytest.raises(InputError, match="has more than 64 MiB"):
        read_export(file)

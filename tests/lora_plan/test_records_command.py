"""`lora-plan records`, and plans that use what it lists."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from profiler.corpus.record import CORPUS
from profiler.records import here
from profiler.records.here import Here
from profiler.records.store import add, read
from tests.lora_plan.cli import call, spawn
from tests.profiler.records.measurements import DAY, VERSIONS, in_slices, measured, out_of_memory, recorded

RUN = ("--model", "llama-3.1-8b", "--method", "qlora", "--gpu", "a100-80")


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the user's records are."""
    file = tmp_path / "records.sqlite"
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(file))
    monkeypatch.setattr(here, "look", lambda _: Here(dict(VERSIONS), "580.95.05", {}))
    return file


@pytest.fixture
def three(path: Path) -> Path:
    """Three records, the oldest first."""
    add([recorded(), recorded(in_slices(), DAY + timedelta(days=1))], path)
    add([recorded(out_of_memory(), DAY + timedelta(days=2))], path)
    return path


def test_there_are_none_yet(path: Path) -> None:
    for argv in ((), ("list",), ("llama",)):
        done = call("records", *argv)
        assert (done.status, done.err) == (0, "")
        assert done.out.startswith("No records in")
    assert json.loads(call("records", "--json").out)["records"] == []
    # looking makes no file
    assert not path.exists()


def test_the_newest_is_first(three: Path) -> None:
    for argv in ((), ("list",)):
        lines = call("records", *argv).out.splitlines()
        assert [line.split()[0] for line in lines[1:4]] == [record.id[:8] for record in read(three).records]
    assert json.loads(call("records", "slices", "--json").out)["count"] == 1
    assert call("records", "list", "oom").out.splitlines()[1].split()[0] == read(three).records[0].id[:8]


def test_show(three: Path) -> None:
    record = read(three).records[1]
    assert f"id        {record.id}" in call("records", "show", record.id[:6]).out
    assert json.loads(call("records", "show", record.id, "--json").out)["key"] == record.key


def test_what_is_exported_is_imported_elsewhere(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shared.csv"
    assert "3 records in" in call("records", "export", str(file)).out
    records = read(three)
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "new" / "records.sqlite"))
    assert "3 records imported into" in call("records", "import", str(file)).out
    assert read() == records
    assert json.loads(call("records", "import", str(file), "--json").out)["new"] == 0
    assert read() == records


def test_some_can_be_exported(three: Path, tmp_path: Path) -> None:
    done = json.loads(call("records", "export", str(tmp_path / "some.csv"), "slices", "--json").out)
    assert (len(done["records"]), done["rows"]) == (1, 2)


def test_an_export_is_scored(three: Path, tmp_path: Path) -> None:
    file = tmp_path / "shared.csv"
    call("records", "export", str(file))
    rows = json.loads(call("validate", "--corpus", str(file), "--json").out)["rows"]
    scored = {row["id"]: row["error"] for row in rows if row["error"] is not None}
    # every component is a twentieth more than the plan's
    whole = f"lora-plan:{recorded().id[:16]}-alloc"
    assert scored[whole] == pytest.approx(1 / 1.05 - 1, abs=0.002)
    assert len(scored) == 4


def test_a_corpus_is_no_file_of_records(path: Path) -> None:
    done = call("records", "import", str(CORPUS))
    assert done.status == 2
    assert "score its runs with `lora-plan validate --corpus`" in done.err
    assert not path.exists()


def test_a_file_that_is_there_is_replaced_only_if_told(three: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("mine")
    done = call("records", "export", str(file))
    assert (done.status, file.read_text()) == (2, "mine")
    assert "replace it with --force" in done.err
    assert call("records", "export", str(file), "--force").status == 0
    assert len(file.read_text()) > 1000


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (("show",), "takes the id of one record"),
        (("show", "a", "b"), "takes the id of one record"),
        (("show", "ab"), "too short"),
        (("show", "abcdef"), "no record in"),
        (("export",), "needs a file; name it"),
        (("export", "x.csv"), "there are no records in"),
        (("import",), "takes one file; name it"),
        (("import", "a.csv", "b.csv"), "takes one file; name it"),
        (("import", "none.csv"), "'none.csv' does not exist"),
        (("--force",), "--force is for `lora-plan records export`"),
        (("import", "none.csv", "--force"), "--force is for `lora-plan records export`"),
        (("--gpu", "a100"), "option '--gpu' is not known"),
    ],
)
def test_bad_input(argv: tuple[str, ...], what: str) -> None:
    done = call("records", *argv)
    assert done.status == 2
    assert what in done.err
    assert done.err.count("\n") == 1
    as_json = json.loads(call("records", *argv, "--json").out)
    assert what in as_json["error"]["message"]


def test_words_that_no_record_holds(three: Path) -> None:
    done = call("records", "mistral")
    assert done.status == 2
    assert "none of the 3 records holds 'mistral'" in done.err


@pytest.mark.parametrize("argv", [(), ("show", "abcdef"), ("export", "x.csv"), ("import", "shared.csv")])
def test_a_file_that_holds_something_else(
    argv: tuple[str, ...], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORA_PLAN_RECORDS", "other.sqlite")
    add([recorded()], Path("other.sqlite"))
    call("records", "export", "shared.csv")
    path.write_bytes(b"my notes, not records")
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    done = call("records", *argv)
    assert done.status == 2
    assert f"'{path}' is no file of records, or it is damaged" in done.err
    assert path.read_bytes() == b"my notes, not records"


def test_no_room_for_records(three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call("records", "export", str(tmp_path / "shared.csv"))
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "shared.csv" / "records.sqlite"))
    done = call("records", "import", str(tmp_path / "shared.csv"))
    assert done.status == 2
    assert "cannot be written (its folder is a file)" in done.err


def test_help() -> None:
    out = call("records", "--help").out
    assert "records show ID" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80


def test_a_plan_without_records_is_as_it_was(path: Path) -> None:
    for argv in (RUN, (*RUN, "--json"), (*RUN, "--examples", "1k")):
        without = call(*argv)
        path.touch()
        assert call(*argv) == without
        add([recorded(replace(measured(), device=replace(measured().device, gpu=None)))], path)
        assert call(*argv) == without
        path.unlink()


def test_a_plan_uses_the_record_of_its_run(path: Path) -> None:
    record = recorded()
    before = json.loads(call(*RUN, "--json").out)
    add([record], path)
    now = json.loads(call(*RUN, "--json").out)
    memory = record.measurement.memory
    assert memory is not None
    assert now["memory"]["peak_bytes"]["reserved"] == memory.peak_bytes.reserved
    assert (before["memory"]["basis"], now["memory"]["basis"]) == ("formula", "measurement")
    assert (now["time"]["step_s"], now["time"]["basis"]) == (1.51, "measurement")
    # so are its costs, and changes are held to the estimate that they are differences of
    assert now["suggestions"] == before["suggestions"]
    assert any(f"record {record.id[:8]} of 2026-07-29" in note for note in now["notes"])
    said = " ".join(call(*RUN).out.split())
    assert "measured 13.6 GiB (13.3–14.5) reserved of 78.6 GiB usable: 65.0 GiB to spare" in said
    assert "By measurement: reserved is expected between" in said
    assert "as wide around the measured figure as the estimate's interval is" in said
    assert "simulated runs" not in said.split("Largest that fits")[0]


def test_costs_follow(path: Path) -> None:
    argv = (*RUN, "--examples", "10k", "--json")
    before = json.loads(call(*argv).out)
    add([recorded()], path)
    now = json.loads(call(*argv).out)
    scale = 1.51 / before["time"]["step_s"]
    parts = [{part["name"]: part["seconds"] for part in plan["time"]["job"]["parts"]} for plan in (before, now)]
    assert parts[1]["training"] == pytest.approx(scale * parts[0]["training"])
    assert float(now["offers"][0]["usd"]) > float(before["offers"][0]["usd"])


def test_check_goes_by_the_record(path: Path) -> None:
    assert call(*RUN, "--check").status == 0
    add([recorded(out_of_memory())], path)
    done = call(*RUN, "--check")
    assert done.status == 1
    said = " ".join(done.out.split())
    assert "DOES NOT FIT" in said
    assert "but memory ran out when it was measured, as the notes say" in said


def test_a_changed_stack_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = json.loads(call(*RUN, "--json").out)
    add([recorded()], path)
    monkeypatch.setattr(here, "look", lambda _: Here({"torch": "2.14.0"}, None, {}))
    now = json.loads(call(*RUN, "--json").out)
    assert now["notes"][-1].endswith(
        "is not used: it was measured with torch 2.13.0 (2.14.0 is installed now); verify again"
    )
    assert {**now, "notes": []} == {**without, "notes": []}


def test_records_that_cannot_be_read_keep_no_plan_from_being_made(path: Path) -> None:
    without = json.loads(call(*RUN, "--json").out)
    path.write_bytes(b"my notes, not records")
    now = json.loads(call(*RUN, "--json").out)
    assert now["notes"][-1].startswith(f"Records are not used: '{path}' is no file of records")
    assert {**now, "notes": []} == {**without, "notes": []}


def test_a_plan_with_records_imports_nothing_heavy(three: Path) -> None:
    done = spawn(*RUN, env={"PYTHONPROFILEIMPORTTIME": "1", "LORA_PLAN_RECORDS": str(three)})
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert b"measured" in done.stdout
    assert "sqlite3" in imported
    for heavy in ("torch", "transformers", "peft", "bitsandbytes", "pandas", "numpy", "rich"):
        assert heavy not in imported


def test_a_plan_without_a_file_of_records_imports_no_sqlite(path: Path) -> None:
    done = spawn(*RUN, env={"PYTHONPROFILEIMPORTTIME": "1", "LORA_PLAN_RECORDS": str(path)})
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "planner.plan" in imported
    assert "sqlite3" not in imported

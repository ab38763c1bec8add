"""`lora-plan report`: what it writes where, what it leaves alone, and that it can be made again."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from pathlib import Path

import pytest

from lora_plan.report_files import HTML_MARK
from profiler.records import here
from profiler.records.here import Here
from profiler.records.store import add
from profiler.whole_file import whole_file
from reports.cost_report.document import MARK
from tests.lora_plan.cli import Outcome, call, spawn
from tests.profiler.records.measurements import CPU, VERSIONS, measured, recorded

RUN = ("--model", "llama-3.2-1b", "--method", "lora", "--seq-len", "512", "--gpu", "l4")
JOB = ("--examples", "1k", "--tokens", "300k", "--epochs", "2")
CONFIG = """\
model_name_or_path: meta-llama/Llama-3.2-1B
use_peft: true
lora_r: 8
max_length: 512
num_train_epochs: 2
learning_rate: 2.0e-4
torch_compile: true
"""
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day stands still, and other ways are not searched, which takes longer than all the rest."""
    monkeypatch.setattr("lora_plan.today.today", lambda: date(2026, 11, 22))
    monkeypatch.setattr("reports.cost_report.other_ways.other_ways", lambda *_: "Other ways were not searched.")


def report(*argv: str) -> Outcome:
    return call("report", *RUN, *argv)


def pictures(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".md")


def test_it_is_printed_as_markdown_without_pictures() -> None:
    done = report(*JOB)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{MARK}\n\n# Llama-3.2-1B LoRA on L4: memory, time and cost\n\n- **FITS** on L4: ")
    assert "![" not in done.out


def test_figures_are_those_of_the_plan() -> None:
    data = json.loads(call(*RUN, *JOB, "--json").out)
    text = report(*JOB).out
    assert f"{data['memory']['peak_bytes']['reserved'] / 2**30:.1f} GiB" in text
    for offer in data["offers"]:
        name = re.escape(f"{offer['provider']} {offer['market']}")
        assert re.search(rf"\| {name} .*\| +{re.escape(offer['usd'])} \|", text)


def test_pictures_stand_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "my report.md"
    assert report(*JOB, "--output", str(file)).status == 0
    assert pictures(tmp_path) == ["my report-cost.svg", "my report-memory.svg"]
    # as CommonMark reads the names
    assert "](my%20report-memory.svg)" in file.read_text(encoding="utf-8")
    assert (tmp_path / "my report-memory.svg").read_bytes().startswith(b"<?xml")
    assert report("--output", str(tmp_path / "b.md"), "--png").status == 0
    assert (tmp_path / "b-memory.png").read_bytes().startswith(PNG)


def test_an_ending_of_html_is_a_page(tmp_path: Path) -> None:
    file = tmp_path / "a.html"
    assert report("--output", str(file)).status == 0
    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and HTML_MARK in page and "<svg" in page
    assert pictures(tmp_path) == ["a.html"]
    printed = report("--html").out
    assert printed.startswith("<!DOCTYPE html>")
    assert report("--output", str(file)).status == 0  # its own may be written again


def test_a_report_of_its_own_is_written_again(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    for _ in range(2):
        assert report("--output", str(file)).status == 0
    assert report("--output", str(file), "--rank", "8").status == 0
    assert "rank: 8" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "name", "sentence"),
    [
        (lambda folder: (folder / "a.md").write_text("# Mine"), "a.md", "exists and is not lora-plan's"),
        (lambda folder: (folder / "a.md").mkdir(), "a.md", "is a folder; name a file in it"),
        (lambda folder: None, "none/a.md", "is not a folder; make it"),
        (lambda folder: (folder / "a-memory.svg").write_text("<svg/>"), "a.md", "is no picture of this report"),
        (lambda folder: (folder / "a-cost.svg").mkdir(), "a.md", "is no picture of this report"),
        (lambda folder: (folder / "a.html").write_text("<html>"), "a.html", "exists and is not lora-plan's"),
        (lambda folder: None, f"{'a' * 300}.md", "cannot be written"),
    ],
)
def test_what_is_someone_elses_stays(make: Callable[[Path], object], name: str, sentence: str, tmp_path: Path) -> None:
    make(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = report("--output", str(tmp_path / name))
    assert done.status == 2 and sentence in done.err and done.err.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_force_writes_over_files_of_others(tmp_path: Path) -> None:
    for name in ("a.md", "a-memory.svg"):
        (tmp_path / name).write_text("mine")
    assert report("--output", str(tmp_path / "a.md"), "--force").status == 0
    assert (tmp_path / "a.md").read_text(encoding="utf-8").startswith(MARK)


class FullDisk:
    """A file that takes nothing."""

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.md"
    assert report(*JOB, "--output", str(file)).status == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    opened: list[Path] = []

    def second_is_full(path: Path) -> AbstractContextManager[object]:
        opened.append(path)
        return whole_file(path) if len(opened) == 1 else nullcontext(FullDisk())

    monkeypatch.setattr("lora_plan.own_files.whole_file", second_is_full)
    done = report(*JOB, "--rank", "8", "--output", str(file))
    assert done.status == 2 and "no space left on device" in done.err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--png",), "--png is for the pictures beside a Markdown file"),
        (("--png", "--html"), "--png is for the pictures"),
        (("--html", "--output", "a.md"), "--html writes a page, not .md"),
        (("--force",), "--force is about a file"),
        (("a.yaml", "b.yaml"), "files to compare need --compare"),
        (("--record", "abcd1234"), "leave out --model"),
        (("--epochs", "2"), "--epochs says nothing without a job"),
    ],
)
def test_options_that_do_not_go_together(argv: tuple[str, ...], sentence: str) -> None:
    done = report(*argv)
    assert (done.status, done.out) == (2, "") and sentence in done.err


def test_what_cannot_be_planned_is_one_sentence() -> None:
    done = call("report", "--model", "jamba", "--gpu", "l4")
    assert (done.status, done.out) == (2, "") and done.err.count("\n") == 1


def test_the_command_and_the_run_in_it_make_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = report(*JOB, "--rank", "8").out
    run = text.partition("```yaml\n")[2].partition("```")[0]
    command = text.partition("```bash\n")[2].partition("\n")[0]
    (tmp_path / "run.yaml").write_text(run, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    program, *argv = shlex.split(command)
    assert program == "lora-plan"
    again = call(*argv).out
    # all but what was left open the first time, and is written out in the file
    assert again.partition("## Assumptions")[0] == text.partition("## Assumptions")[0]
    assert again.partition("```yaml")[2] == text.partition("```yaml")[2]


def test_a_record_is_reported_on_its_own_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, record = tmp_path / "records.sqlite", recorded()
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    monkeypatch.setattr(here, "look", lambda _: Here(dict(VERSIONS), "580.95.05", {}))
    add([record], path)
    done = call("report", "--record", record.id[:8])
    assert done.status == 0 and "on A100-80GB-SXM: measured " in done.out
    assert f"lora-plan report --record {record.id[:8]}\n" in done.out
    missing = call("report", "--record", "ffffffff")
    assert missing.status == 2 and "no record in" in missing.err


def test_of_a_record_of_a_cpu_it_says_how_to_come_to_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, record = tmp_path / "records.sqlite", recorded(measured(device=CPU))
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    add([record], path)
    done = call("report", "--record", record.id[:8])
    assert done.status == 0
    # --record takes no --gpu
    assert "name a card" not in done.out
    assert done.out.count("report on the run with a card: `lora-plan report --run run.yaml --gpu NAME`") == 2


def test_a_device_has_no_pictures_beside_it(tmp_path: Path) -> None:
    null = tmp_path / "null.md"
    null.symlink_to(os.devnull)
    assert report("--output", str(null)).status == 0
    assert list(tmp_path.iterdir()) == [null]


def test_a_trainers_config_is_read_and_its_settings_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "sft.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    done = call("report", "--config", str(file), "--gpu", "l4", *JOB[:4])
    assert done.status == 0
    lead, _, rest = done.out.partition("## Memory")
    assert "**Not counted:** torch_compile true" in lead
    for said in ("| `lora_r` ", "| `learning_rate` ", "By TRL's own default:", "rank: 8\n"):
        assert said in rest
    # the job's epochs are the config's
    assert "--examples 1k --tokens 300k --epochs 2 " in rest


@pytest.mark.slow
def test_as_a_process_of_its_own_it_searches_other_ways_too(tmp_path: Path) -> None:
    done = spawn("report", *RUN, *JOB, "--output", "a.md", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert pictures(tmp_path) == ["a-alternatives.svg", "a-cost.svg", "a-memory.svg"]
    assert "Nothing beats these in time and cost" in (tmp_path / "a.md").read_text(encoding="utf-8")

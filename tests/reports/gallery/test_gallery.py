"""The gallery is what its commands write now."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from reports.gallery import FOLDER, WRITE, __main__, samples
from reports.gallery.__main__ import gallery_files, main, stale, write
from reports.gallery.index import INDEX, index_page
from reports.gallery.samples import SAMPLES, Sample, sample_files

SVG = "<svg><title>{}</title><path d='{}'/></svg>"


@pytest.mark.slow
def test_what_is_committed_is_made_now() -> None:
    files = gallery_files()
    assert stale(files) == [], f"run `{WRITE}`"
    assert all(f"{sample.name}{ending}" in files for sample in SAMPLES for ending in sample.endings)
    # what a link or a picture leads to is there
    assert {"accuracy.md", "accuracy.svg", "speed.svg", "claims.md"} <= files.keys()


def test_the_index_leads_to_every_page() -> None:
    index = index_page().decode()
    assert all(f"]({sample.name}.md)" in index and sample.command in index for sample in SAMPLES)
    assert (FOLDER / INDEX).read_bytes() == index_page()


def test_of_a_picture_what_it_says_counts_and_of_a_page_every_byte(tmp_path: Path) -> None:
    files = {"a.md": b"one", "a.svg": SVG.format("one", "M0").encode()}
    assert stale(files, tmp_path) == ["a.md", "a.svg"]
    write(files, tmp_path)
    assert stale(files, tmp_path) == []
    assert stale(files | {"a.svg": SVG.format("one", "M1").encode()}, tmp_path) == []
    assert stale(files | {"a.svg": SVG.format("two", "M0").encode()}, tmp_path) == ["a.svg"]
    assert stale(files | {"a.md": b"two"}, tmp_path) == ["a.md"]


def test_what_is_left_over_is_removed_and_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    for name in ("old.md", "code.py"):
        (tmp_path / name).write_text("x")
    assert stale({}, tmp_path) == ["old.md"]
    write({"new.md": b"x"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code.py", "new.md"]


def test_the_command_checks_and_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "gallery_files", lambda: {"a.md": b"one"})
    monkeypatch.setattr(stale, "__defaults__", (tmp_path,))
    monkeypatch.setattr(write, "__defaults__", (tmp_path,))
    assert main(["--check"]) == 1
    assert capsys.readouterr().err == f"not current: a.md; run `{WRITE}`\n"
    assert main(["--write"]) == main(["--check"]) == 0
    assert (tmp_path / "a.md").read_bytes() == b"one"


def test_a_command_that_fails_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(samples, "SAMPLES", (Sample("a", "A", "report --model no-such-model"),))
    with pytest.raises(InputError, match=r"`lora-plan report --model no-such-model` ended with 2: .*no-such-model"):
        sample_files()
    assert main(["--check"]) == 2
    assert capsys.readouterr().err.startswith("gallery: `lora-plan report --model no-such-model` ended with 2: ")

"""Files that are written again, and files that are someone else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_plan.own_files import check_own, write_own
from planner.errors import InputError

MARK = "<!-- ours -->"


def test_a_new_an_empty_and_an_own_file_may_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    check_own(path, MARK, field="output")
    path.touch()
    check_own(path, MARK, field="output")
    write_own(path, f"{MARK}\n\nœ\n", field="output")
    check_own(path, MARK, field="output")
    assert path.read_bytes() == f"{MARK}\n\nœ\n".encode()


def test_what_someone_else_wrote_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"notes\.md' exists and is not lora-plan's") as caught:
        check_own(path, MARK, field="output")
    assert caught.value.field == "output" and path.read_text() == "mine"
    check_own(path, MARK, field="output", force=True)


def test_folders_and_missing_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        check_own(tmp_path, MARK, field="junit", force=True)
    with pytest.raises(InputError, match="nowhere' is not a folder; make it"):
        check_own(tmp_path / "nowhere" / "a.xml", MARK, field="junit")
    with pytest.raises(InputError, match="cannot be written"):
        write_own(tmp_path / "nowhere" / "a.xml", "", field="junit")


def test_a_lone_surrogate_is_written_as_an_escape(tmp_path: Path) -> None:
    write_own(tmp_path / "a.md", "\ud800", field="output")
    assert (tmp_path / "a.md").read_text() == "\\ud800"

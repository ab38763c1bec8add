"""Where the user's records are, on every platform."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.errors import InputError
from planner.places import records_file, stored_file


def test_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert records_file({"LORA_PLAN_RECORDS": "some/file"}) == Path("some/file")
    assert records_file({"XDG_DATA_HOME": "/data"}, "linux") == Path("/data/lora-plan/records.sqlite")
    home = Path.home()
    assert records_file({"XDG_DATA_HOME": "relative"}, "linux") == home / ".local/share/lora-plan/records.sqlite"
    assert records_file({}, "darwin") == home / "Library/Application Support/lora-plan/records.sqlite"
    assert records_file({"LOCALAPPDATA": "/local"}, "win32") == Path("/local/lora-plan/records.sqlite")

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match="no home directory to keep records in; set LORA_PLAN_RECORDS"):
        records_file({})


def test_there_are_none_until_there_is_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(tmp_path / "records.sqlite"))
    assert stored_file() is None
    (tmp_path / "records.sqlite").touch()
    assert stored_file() == tmp_path / "records.sqlite"


@pytest.mark.parametrize("path", [os.devnull, ".", "x" * 5000], ids=range(3))
def test_what_is_no_file_is_none(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("LORA_PLAN_RECORDS", path)
    assert stored_file() is None

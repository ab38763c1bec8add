"""A plan with the user's record of its run."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from profiler.records import here
from profiler.records.here import Here
from profiler.records.of_plan import measured_plan
from profiler.records.store import add
from tests.profiler.records.measurements import DAY, VERSIONS, measured, planned, recorded


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the user's records are, on a machine with the libraries of those made here."""
    file = tmp_path / "records.sqlite"
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(file))
    monkeypatch.setattr(here, "look", lambda _: Here(dict(VERSIONS), "580.95.05", {}))
    return file


def test_the_newest_stands_in_and_is_given_too(path: Path) -> None:
    older, newer = recorded(), recorded(measured(share=1.02), DAY + timedelta(days=1))
    add([older, newer], path)
    plan, record = measured_plan(planned())
    assert record == newer and newer.measurement.memory is not None
    assert plan.memory.peak_bytes.reserved == newer.measurement.memory.peak_bytes.reserved


def test_without_records_or_a_card_the_plan_stays_as_it_is(path: Path) -> None:
    assert measured_plan(planned()) == (planned(), None)
    add([recorded()], path)
    assert measured_plan(planned(gpu=None)) == (planned(gpu=None), None)
    assert measured_plan(planned(gpu="h100")) == (planned(gpu="h100"), None)


def test_a_file_that_holds_none_is_a_note(path: Path) -> None:
    path.write_text("no database")
    plan, record = measured_plan(planned())
    assert record is None and plan.notes[-1].startswith("Records are not used: ")

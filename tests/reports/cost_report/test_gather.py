"""What a report is made from: plans, records, simulations, prices, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.errors import Abstention, InputError
from planner.job import Job
from planner.memory.ledger import MEASUREMENT
from planner.run import TrainingRun
from profiler.records import here
from profiler.records.here import Here
from profiler.records.store import add
from reports.cost_report.other_ways import other_ways
from tests.pricing.offers import TODAY
from tests.pricing.recommendations import OFFERS
from tests.profiler.records.measurements import CPU, DAY, VERSIONS, measured, recorded
from tests.reports.cost_report.reports import JOB, QLORA, as_markdown, gathered

RUN = recorded().measurement.run


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the libraries of the records."""
    monkeypatch.setattr(here, "look", lambda _: Here(dict(VERSIONS), "580.95.05", {}))


def test_the_users_newest_record_of_the_run_on_the_card_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "records.sqlite"
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    older, newer = recorded(), recorded(measured(share=1.02), DAY + timedelta(days=1))
    add([older, newer], path)
    report = gathered(RUN, "a100-80", None)
    assert report.record == newer
    assert report.plan is not None and report.plan.memory.basis == MEASUREMENT
    # the estimate is not what was measured: it is held to it
    assert report.estimate is not None and report.estimate.memory.basis == "formula"
    assert report.verification is not None and report.verification.plan is report.estimate
    assert gathered(RUN, "h100", None).record is None
    # an older one can be asked for, and is then the figure too
    asked = gathered(RUN, "a100-80", None, record=older)
    assert asked.plan is not None and older.measurement.memory is not None
    assert asked.plan.memory.peak_bytes.reserved == older.measurement.memory.peak_bytes.reserved


def test_records_that_cannot_be_read_are_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "records.sqlite"
    path.write_text("no database")
    monkeypatch.setenv("LORA_PLAN_RECORDS", str(path))
    assert "Records are not used: " in as_markdown(gathered(RUN, "a100-80", None))


def test_a_record_of_a_cpu_has_no_card_and_no_reserved_level() -> None:
    record = recorded(measured(device=CPU))
    text = as_markdown(gathered(RUN, None, None, record=record))
    assert "Measured on Some Xeon @ 2.00GHz (cpu)" in text
    known = text.partition("## Simulated and measured")[2].partition("Allocated at")[0]
    assert "| reserved" not in known


def test_a_record_whose_model_is_not_here_is_reported_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise InputError("model 'x' is not known; give another", field="model")

    monkeypatch.setattr("reports.cost_report.gather.plan", missing)
    record = recorded()
    text = as_markdown(gathered(RUN, "a100-80", JOB, record=record))
    assert "There is no estimate: model 'x' is not known" in text
    assert f"record {record.id[:8]}" in text
    with pytest.raises(InputError, match="is not known"):
        gathered(RUN, "a100-80", JOB)


def test_what_the_planner_abstains_from_is_refused_unless_it_is_simulated() -> None:
    run = TrainingRun(model="jamba", method="lora")

    def refusing(*_: Any) -> Any:
        raise Abstention("it cannot be traced")

    with pytest.raises(Abstention) as refused:
        gathered(run, "L40S", None)
    with pytest.raises(Abstention) as again:
        gathered(run, "L40S", None, simulator=refusing)
    assert again.value.reason == refused.value.reason


def test_a_simulation_that_is_refused_is_a_sentence() -> None:
    def refusing(*_: Any) -> Any:
        raise Abstention("this optimizer cannot be traced")

    assert "There is no simulation: this optimizer cannot be traced." in as_markdown(gathered(simulator=refusing))


def test_prices_that_cannot_be_read_are_a_note() -> None:
    report = gathered(offers="What it costs is not shown: prices.csv, line 3: no price; correct it")
    assert report.quotes is None
    assert "What it costs is not shown: prices.csv, line 3: no price; correct it" in as_markdown(report)


def test_other_ways_keep_what_is_learned_and_are_never_an_error() -> None:
    run = QLORA.replace(rank=64, packing=True)
    found = other_ways(run, Job(tokens=10**6), OFFERS, TODAY)
    assert not isinstance(found, str)
    assert {way.run.rank for way in found.frontier if way.run.method == "lora"} == {64}
    assert all(way.run.packing and way.run.sequence_length == 1024 for way in found.frontier)
    assert other_ways(run, None, (), TODAY) == (
        "No other way was looked for: there is no offer of any catalogued card; `lora-plan prices refresh` or `prices "
        "import` brings some."
    )

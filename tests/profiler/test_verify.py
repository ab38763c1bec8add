"""`verify`: what is asked of the process that measures, and what is made of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue import Gpu
from planner.errors import Abstention, NotMeasured
from planner.run import TrainingRun
from profiler import verify as module
from profiler.documents import from_document, to_document
from profiler.judgement import OUTSIDE, WITHIN
from profiler.measure.bounds import Bounds
from profiler.measure.probe import TARGET, Probe
from profiler.measure.types import OUT_OF_MEMORY, Measurement, Slices
from profiler.simulate.types import Simulation
from profiler.verify import measured, verify
from tests.profiler.conftest import Answers
from tests.reports.verifications import CPU, FAILED, T4, time_of
from tests.support.measured import as_planned

RUN = TrainingRun(model="smollm2-135m", sequence_length=128)
USUAL = time_of(*[1.0] * 8)

Child = Callable[[Callable[[Probe], Measurement]], list[dict[str, Any]]]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Child:
    """Called with what measures a probe: it answers in place of a process; gives what it was asked."""
    monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "cache"))
    asked: list[dict[str, Any]] = []

    def answers(measure: Callable[[Probe], Measurement]) -> list[dict[str, Any]]:
        def run_in_child(target: str, request: Mapping[str, object], **how: Any) -> dict[str, object]:
            probe = from_document(Probe, request)
            asked.append({"target": target, "probe": probe, **how})
            return to_document(measure(probe))

        monkeypatch.setattr(module, "run_in_child", run_in_child)
        return asked

    return answers


def usual(probe: Probe) -> Measurement:
    return as_planned(probe.run, time=USUAL)


def no_simulator(run: TrainingRun, card: Gpu | None, live: bool) -> Simulation:
    raise Abstention("it has no layers", way_out="")


def test_the_process_gets_the_run_and_its_bounds(child: Child) -> None:
    asked = child(usual)
    bounds = Bounds(max_steps=10, max_seconds=90)
    measurement = measured(RUN, device="cpu", slices=False, weights="w", bounds=bounds)
    assert measurement.run == RUN
    [request] = asked
    # two of the ten steps warm up
    assert request["probe"] == Probe(RUN, "cpu", "w", False, 8)
    assert (request["target"], request["seconds"]) == (TARGET, 90)
    # the process holds the device as well: it stays taken should this one be killed
    [descriptor] = request["keep"]
    assert isinstance(descriptor, int)


def test_dollars_bound_the_process(child: Child) -> None:
    asked = child(usual)
    measured(RUN, bounds=Bounds(max_usd=Decimal("0.05"), usd_per_hour=Decimal("2.50")))
    assert asked[0]["seconds"] == 72  # 0.05 / 2.50 of 3600 s


def test_a_plan_that_is_as_measured_is_within(child: Child) -> None:
    child(usual)
    verification = verify(RUN, with_simulation=False)
    assert verification.verdict == WITHIN
    assert verification.plan is not None
    assert verification.plan.gpu is None
    assert verification.simulation is verification.why_no_simulation is None


def test_the_tolerance_is_handed_on(child: Child) -> None:
    child(lambda probe: as_planned(probe.run, factor=1.02))
    assert verify(RUN, with_simulation=False).verdict == WITHIN
    assert verify(RUN, with_simulation=False, tolerance=0.01).verdict == OUTSIDE


def test_the_plan_is_of_the_card_that_was_measured_unless_another_one_is_named(child: Child) -> None:
    child(lambda probe: as_planned(probe.run, T4))
    cards = [verify(RUN, gpu, with_simulation=False).plan for gpu in (None, "h100")]
    assert [plan.gpu.name for plan in cards if plan and plan.gpu] == ["T4", "H100-SXM"]


@pytest.mark.parametrize(("device", "live"), [(CPU, True), (T4, False)])
def test_the_simulation_is_of_live_tensors_alone_for_a_cpu(device: Any, live: bool, child: Child) -> None:
    child(lambda probe: as_planned(probe.run, device))
    seen: list[tuple[TrainingRun, str | None, bool]] = []

    def simulator(run: TrainingRun, card: Gpu | None, live: bool) -> Simulation:
        seen.append((run, card and card.name, live))
        return no_simulator(run, card, live)

    verification = verify(RUN, simulator=simulator)
    assert seen == [(RUN, None if live else "T4", live)]
    assert verification.why_no_simulation == "it has no layers"


def test_a_model_without_formulas_is_verified_by_simulation_alone(
    child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_plan(run: TrainingRun, gpu: Gpu | None) -> Any:
        raise Abstention("there are no formulas for it", way_out="")

    child(usual)
    monkeypatch.setattr(module, "plan", no_plan)
    verification = verify(RUN, simulator=no_simulator)
    assert (verification.plan, verification.why_no_plan) == (None, "there are no formulas for it")


class TestFewerTimedSteps:
    """What was cut short is a note, and memory stands."""

    @staticmethod
    def notes(child: Child, bounds: Bounds, **measurement: Any) -> tuple[str, ...]:
        child(lambda probe: replace(as_planned(probe.run), notes=("first",), **measurement))
        first, *notes = measured(RUN, bounds=bounds).notes
        assert first == "first"
        return tuple(notes)

    def test_all_of_them_are_no_note(self, child: Child) -> None:
        assert self.notes(child, Bounds(), time=USUAL) == ()

    def test_none_were_asked_for(self, child: Child) -> None:
        [note] = self.notes(child, Bounds(max_steps=2), time=None)
        assert note.startswith("no step was timed: --max-steps leaves none beside the 2 that warm up; raise it")

    def test_none_were_possible(self, child: Child) -> None:
        [note] = self.notes(child, Bounds(max_seconds=5), time=None)
        assert "after the 2 that warm up the 5 s of --max-seconds were over; raise it" in note

    def test_some_were(self, child: Child) -> None:
        paid = Bounds(max_usd=Decimal("0.01"), usd_per_hour=Decimal(1))
        [note] = self.notes(child, paid, time=time_of(1.0, 1.0, 1.0))
        assert note == "3 of 8 steps were timed: then the 36 s of --max-usd were over"

    def test_of_slices_too(self, child: Child) -> None:
        [note] = self.notes(child, Bounds(), time=None, slices=Slices((2, 3), 30, ()))
        assert "300 s" in note

    def test_where_memory_ran_out_there_is_another_reason(self, child: Child) -> None:
        failed = {"outcome": OUT_OF_MEMORY, "out_of_memory": FAILED, "memory": None, "time": None}
        assert self.notes(child, Bounds(), **failed) == ()


class TestOneAtATime:
    @pytest.mark.parametrize(
        ("device", "cards", "name"),
        [
            (None, None, "GPU 0"),
            ("cuda", "1,0", "GPU 1"),
            (None, "GPU-8f2a/../x", "GPU GPU-8f2ax"),
            (None, "", "this machine"),
            (None, "-1", "this machine"),
            ("cpu", "1", "this machine"),
        ],
    )
    def test_on_a_card(
        self,
        device: str | None,
        cards: str | None,
        name: str,
        driver: Answers,
        child: Child,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        child(usual)
        if cards is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
        measured(RUN, device=device, bounds=Bounds())
        assert [file.name for file in (tmp_path / "cache" / "locks").iterdir()] == [f"{name.replace(' ', '_')}.lock"]

    @pytest.mark.parametrize("device", [None, "cpu"])
    def test_without_a_card_there_is_one_lock_whatever_was_asked_for(
        self, device: str | None, no_driver: None, child: Child, tmp_path: Path
    ) -> None:
        child(usual)
        measured(RUN, device=device, bounds=Bounds())
        assert [file.name for file in (tmp_path / "cache" / "locks").iterdir()] == ["this_machine.lock"]

    def test_who_waits_hears_of_it_and_gives_up_in_time(self, no_driver: None, child: Child) -> None:
        said: list[str] = []

        def meanwhile(probe: Probe) -> Measurement:
            with pytest.raises(NotMeasured, match="is still being measured by another lora-plan"):
                measured(RUN, bounds=Bounds(max_seconds=0.01), tell=said.append)
            return usual(probe)

        child(meanwhile)
        measured(RUN, bounds=Bounds())
        [sentence] = said
        assert sentence.startswith("this machine is being measured by another lora-plan (process ")
        assert "smollm2-135m); waiting for it" in sentence

    def test_where_nothing_can_be_locked_it_is_said_and_measured(
        self, child: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("LORA_PLAN_CACHE", str(tmp_path / "file" / "cache"))
        asked = child(usual)
        said: list[str] = []
        measured(RUN, bounds=Bounds(), tell=said.append)
        assert asked[0]["keep"] == ()
        [sentence] = said
        assert "cannot be written" in sentence
        assert "set LORA_PLAN_CACHE" in sentence

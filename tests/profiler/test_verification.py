"""The verdict on what was said of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.memory.ledger import Ledgers
from planner.plan_types import Plan
from planner.units import GIB
from profiler.judgement import OUTSIDE, UNKNOWN, WITHIN
from profiler.measure.types import OUT_OF_MEMORY, MeasuredDevice, Measurement, Slices
from profiler.verification import Verification, verified
from tests.reports.samples import full_that_does_not_fit
from tests.reports.simulations import simulation_of, that_fits
from tests.reports.verifications import A100, CPU, FAILED, PLANNED_TIME, T4, measured, measurement_of, time_of, within

SIMULATION, PLAN = that_fits()
SAID = PLAN.memory.peak_bytes.reserved


def measured_at(reserved: float, device: MeasuredDevice = A100) -> Measurement:
    """The plan's own ledgers, of which so much was reserved."""
    memory = PLAN.memory
    ledgers = Ledgers(
        peak_bytes=memory.peak_bytes, instant=memory.instant, basis=memory.basis, instants=memory.instants
    )
    return measurement_of(PLAN, measured(ledgers, round(reserved)), device)


def against_the_plan(measurement: Measurement, tolerance: float = 0.05) -> Verification:
    return verified(measurement, PLAN, None, None, "it was not asked for", tolerance)


@pytest.mark.parametrize(
    ("off", "verdict"), [(0.0, WITHIN), (0.049, WITHIN), (-0.049, WITHIN), (0.051, OUTSIDE), (-0.051, OUTSIDE)]
)
def test_the_tolerance_is_a_share_of_what_was_measured(off: float, verdict: str) -> None:
    # the estimate is (1 + off) times what was measured
    assert against_the_plan(measured_at(SAID / (1 + off))).verdict == verdict


def test_the_figures_are_said_with_their_signs() -> None:
    measurement = measured_at(48 * GIB)
    said = verified(measurement, PLAN, None, SIMULATION, None)
    # 45.56 and 46.82 GiB, over 48 GiB
    assert said.because == "measured 48.0 GiB reserved, estimate 45.6 GiB (-5.1%), simulation 46.8 GiB (-2.5%)"
    assert said.verdict == OUTSIDE


@given(st.floats(0.5, 2), st.floats(0.5, 2), st.floats(0.001, 0.5))
def test_one_column_outside_is_outside(estimate: float, simulation: float, tolerance: float) -> None:
    measurement = measured_at(40 * GIB)
    peak = PLAN.memory.peak_bytes
    planned = replace(PLAN, memory=replace(PLAN.memory, peak_bytes=replace(peak, reserved=round(estimate * 40 * GIB))))
    levels = replace(SIMULATION.memory.peak_bytes, reserved=round(simulation * 40 * GIB))
    simulated = replace(SIMULATION, memory=replace(SIMULATION.memory, peak_bytes=levels))
    both = verified(measurement, planned, None, simulated, None, tolerance).verdict
    alone = {
        verified(measurement, planned, None, None, "", tolerance).verdict,
        verified(measurement, None, "", simulated, None, tolerance).verdict,
    }
    assert both == (OUTSIDE if OUTSIDE in alone else WITHIN)


def test_with_nothing_to_hold_it_to_the_reasons_are_given() -> None:
    alone = verified(measured_at(40 * GIB), None, "no formulas", None, "no torch")
    assert alone.verdict == UNKNOWN
    assert alone.because.endswith("nothing to hold it to; no estimate: no formulas; no simulation: no torch")


@pytest.mark.parametrize("kind", ["cpu", "mps", "xpu"])
def test_where_there_is_no_cublas_its_workspaces_are_left_out_on_both_sides(kind: str) -> None:
    workspaces = PLAN.memory.peak.components["runtime"]
    result = against_the_plan(measured_at(SAID, replace(CPU, kind=kind)))
    assert result.without_runtime
    assert result.reconciliation is not None
    reserved, process = result.reconciliation.levels[1:]
    assert reserved.bytes == (SAID - workspaces, SAID - workspaces)
    assert process.bytes == (None, None)
    assert not any(line.name == "runtime" for at in result.reconciliation.instants for line in at.components)


def test_on_the_planned_card_nothing_is_left_out() -> None:
    result = against_the_plan(measured_at(SAID))
    assert not result.without_runtime
    assert result.another_card is None


@pytest.mark.parametrize("name", ["A100-80GB-SXM", "a100-80"])
def test_a_card_is_known_by_any_of_its_names(name: str) -> None:
    assert against_the_plan(measured_at(SAID, replace(A100, gpu=name))).another_card is None


def test_a_card_that_no_catalogue_has_is_known_by_its_memory() -> None:
    unknown = replace(A100, gpu=None, name="Some card")
    assert against_the_plan(measured_at(SAID, unknown)).another_card is None
    assert against_the_plan(measured_at(SAID, replace(unknown, memory_bytes=24 * GIB))).another_card == "A100-80GB-SXM"


def test_memory_carries_over_to_another_card_and_time_does_not() -> None:
    plan = replace(PLAN, time=PLANNED_TIME)
    result = verified(replace(measured_at(SAID, T4), time=time_of(5.6)), plan, None, None, None)
    assert result.verdict == WITHIN
    assert result.another_card == "A100-80GB-SXM"
    assert result.estimated_time is None
    assert result.time_within is None
    assert result.why_no_estimated_time == "the plan is for A100-80GB-SXM, these steps ran on Tesla T4"


class TestTime:
    @staticmethod
    def result(step_s: float, *, check_time: bool = True, tokens: int = 2048) -> Verification:
        plan = replace(PLAN, time=PLANNED_TIME)
        measurement = replace(measured_at(SAID), time=time_of(step_s, tokens=tokens))
        return verified(measurement, plan, None, None, None, check_time=check_time)

    @pytest.mark.parametrize(
        ("step_s", "inside", "verdict"), [(5.2, True, WITHIN), (5.1, False, OUTSIDE), (6.6, False, OUTSIDE)]
    )
    def test_counts_where_it_is_asked_for(self, step_s: float, inside: bool, verdict: str) -> None:
        result = self.result(step_s)
        assert result.time_within is inside
        assert result.verdict == verdict
        assert result.because.endswith(f"a step took {step_s} s, where between 5.2 and 6.5 s were expected")

    def test_does_not_count_otherwise(self) -> None:
        result = self.result(9.0, check_time=False)
        assert result.time_within is False
        assert result.verdict == WITHIN

    def test_of_other_steps_is_not_compared(self) -> None:
        result = self.result(5.6, tokens=4096)
        assert result.verdict == UNKNOWN
        assert result.why_no_estimated_time == "a planned step has 2,048 tokens, a measured one 4,096"


class TestOutOfMemory:
    @staticmethod
    def plan(verdict: str) -> Plan:
        plan, _ = full_that_does_not_fit()
        return replace(plan, verdict=verdict)

    @staticmethod
    def measurement(device: MeasuredDevice = T4) -> Measurement:
        plan, _ = full_that_does_not_fit()
        return measurement_of(plan, None, device, outcome=OUT_OF_MEMORY, out_of_memory=FAILED, layers=32)

    @pytest.mark.parametrize(("said", "verdict"), [("fits", OUTSIDE), ("tight", UNKNOWN), ("does_not_fit", WITHIN)])
    def test_is_held_to_what_the_plan_said(self, said: str, verdict: str) -> None:
        result = verified(self.measurement(), self.plan(said), None, None, None)
        assert result.verdict == verdict
        assert f"estimate: {said.replace('_', ' ')}, 55.1 GiB reserved" in result.because
        assert "at step 1, optimizer step, where 112.0 MiB were asked for" in result.because
        assert result.reconciliation is None

    def test_is_outside_where_one_of_both_said_that_it_fits(self) -> None:
        plan = self.plan("does_not_fit")
        simulation = simulation_of(plan, plan.memory, "fits")
        assert verified(self.measurement(), plan, None, simulation, None).verdict == OUTSIDE

    def test_on_a_card_that_others_use_says_nothing_of_the_plan(self) -> None:
        shared = replace(T4, free_bytes=6 * GIB)
        result = verified(self.measurement(shared), self.plan("fits"), None, None, None)
        assert result.verdict == UNKNOWN
        assert "other processes held 8.3 GiB of the card" in result.because

    @pytest.mark.parametrize(("capacity", "verdict"), [(55.0, WITHIN), (55.2, OUTSIDE)])
    def test_on_another_card_is_held_to_what_that_one_has(self, capacity: float, verdict: str) -> None:
        # 55.09 GiB with workspaces, which do not matter here
        measurement = self.measurement(A100)
        failed = replace(FAILED, capacity_bytes=int(capacity * GIB))
        result = verified(replace(measurement, out_of_memory=failed), self.plan("does_not_fit"), None, None, None)
        assert result.verdict == verdict

    def test_with_no_word_on_it_before_is_unknown(self) -> None:
        assert verified(self.measurement(), None, "no formulas", None, None).verdict == UNKNOWN

    def test_while_loading(self) -> None:
        failed = replace(FAILED, step=0, instant="load", requested_bytes=None)
        result = verified(replace(self.measurement(), out_of_memory=failed), self.plan("fits"), None, None, None)
        assert result.because.startswith("memory ran out while loading, against what was said")


def test_a_simulation_alone_is_held_to_the_measurement() -> None:
    reserved = SIMULATION.memory.peak_bytes.reserved
    result = verified(measured_at(reserved), None, "no formulas", SIMULATION, None)
    assert result.verdict == WITHIN
    assert result.because == "measured 46.8 GiB reserved, simulation 46.8 GiB (0.0%)"


def test_it_is_the_same_each_time() -> None:
    assert within() == within()


def test_slices_that_do_not_fit_say_nothing_of_the_plan() -> None:
    plan, _ = full_that_does_not_fit()
    sliced = Slices((2, 3), 32, ())
    measurement = measurement_of(plan, None, T4, outcome=OUT_OF_MEMORY, out_of_memory=FAILED, slices=sliced, loss=None)
    said = verified(measurement, plan, None, None, "it was not asked for")
    assert said.verdict == UNKNOWN
    assert said.because.endswith("not even slices of up to 3 layers fit this device")

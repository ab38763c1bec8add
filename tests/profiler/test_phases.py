"""The seconds of a step, phase by phase."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.plan import plan
from planner.run import TrainingRun
from profiler.phases import FORWARD_AND_BACKWARD, OPTIMIZER, REST, STEP, phases
from tests.reports.verifications import PLANNED_TIME, time_of


def test_the_plans_terms_are_summed_into_what_can_be_measured() -> None:
    by_name = {phase.name: phase for phase in phases(PLANNED_TIME, time_of(6.0, 5.0))}
    both = by_name[FORWARD_AND_BACKWARD]
    assert both.terms == ("matrix products", "recomputation", "other kernels", "launches")
    assert both.estimate_s == pytest.approx(2.4 + 1.8 + 1.2 + 0.1)
    # 30 % and 65 % of 5.5 s
    assert both.measured_s == pytest.approx(0.95 * 5.5)
    assert by_name["forward"].estimate_s is None
    assert by_name["forward"].measured_s == pytest.approx(0.3 * 5.5)
    assert (by_name[OPTIMIZER].estimate_s, by_name[OPTIMIZER].measured_s) == (0.08, pytest.approx(0.04 * 5.5))
    assert (by_name[REST].estimate_s, by_name[REST].measured_s) == (0.02, pytest.approx(0.01 * 5.5))
    assert by_name[STEP].relative == pytest.approx(5.6 / 5.5 - 1)


@pytest.mark.parametrize("gpus", [1, 4])
def test_every_term_of_a_plan_is_in_one_phase(gpus: int) -> None:
    run = TrainingRun(model="llama-3.1-8b", method="qlora", num_gpus=gpus, checkpoint_offload=True)
    time = plan(run, "a100-80").time
    assert time is not None
    *parts, whole = phases(time, time_of(1.0))
    assert sorted(name for part in parts for name in part.terms) == sorted(whole.terms)
    assert sum(part.estimate_s or 0 for part in parts) == pytest.approx(time.step_s)


def test_an_extrapolated_step_has_no_phases() -> None:
    extrapolated = replace(time_of(1.0, 1.1), step_s=40.0)
    assert [phase.name for phase in phases(None, extrapolated)] == [STEP]

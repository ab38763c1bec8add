"""The report on a training: what it says, line by line, of a training that is made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from planner.plan import plan
from planner.plan_types import Parameters
from planner.units import GIB, MIB
from profiler.measure.device.base import AllocatorLevels
from profiler.measure.types import Measurement
from profiler.training.data import Lengths
from profiler.training.forecast import Forecast
from profiler.training.report import TrainingReport
from profiler.training.shapes import Shape
from profiler.training.training import Peak
from reports.documents.markdown import markdown
from reports.training import TITLE, training_document
from tests.lora_plan.trainings import StandIn
from tests.profiler.training.test_record import RUN, SEEN, measured

PLAN = plan(RUN, "l4")
ALLOCATED, RESERVED = PLAN.memory.peak_bytes.allocated, PLAN.memory.peak_bytes.reserved


def report(**changes: Any) -> TrainingReport:
    levels = AllocatorLevels(GIB, 2 * RESERVED, ALLOCATED, 2 * RESERVED, retries=0)
    given: dict[str, Any] = {
        "outcome": "all 4 steps done",
        "model": "LlamaForCausalLM",
        "parameters": Parameters(1_240_000_000, 11_300_000),
        "device": StandIn().described(),
        "run": RUN,
        "plan": PLAN,
        "unplanned": None,
        "lengths": Lengths(64, True, None, "all 9 samples were read"),
        "watched": replace(SEEN, levels=levels, peak=Peak(ALLOCATED, "forward_and_backward", 3, Shape(2, 64))),
        "forecast": None,
        "warning": None,
        "notes": (),
        "versions": (("torch", "2.13.0"), ("peft", "0.21.2")),
        "ranks": 1,
        "record": "No record is kept.",
    }
    return TrainingReport(**(given | changes))


def training_markdown(report: TrainingReport, measured: Measurement | None = None) -> str:
    document = training_document(report, measured, day=date(2026, 11, 22), version="0.1.0")
    return markdown(document, lambda _: None)


def cells(text: str, first: str) -> list[str]:
    """The cells of the first table's row that begins so."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return next(row for row in rows if row[0] == first)[1:]


def test_it_begins_with_what_it_is_of() -> None:
    text = training_markdown(report())
    assert text.startswith(f"# {TITLE}\n\nLlamaForCausalLM on Stand-in: all 4 steps done, 11.3 M of 1.24 B parameters")
    assert text.endswith("## Record\n\nNo record is kept.\n\nVersions: torch 2.13.0, peft 0.21.2.\n")


def test_levels_stand_beside_the_estimate_and_are_not_mixed() -> None:
    text = training_markdown(report())
    assert cells(text, "allocated")[-1] == "0%"
    assert cells(text, "reserved")[-1] == "-50.0%"
    assert cells(text, "host, resident") == ["–", "953.7 MiB", "–"]
    assert "The peak is in forward and backward of step 3, with a micro-batch of 2 × 64 tokens" in text


def test_components_are_those_that_last() -> None:
    step = next(one for one in PLAN.memory.instants if one.name == "optimizer_step").components
    held = {"base_weights": step["base_weights"], "adapters": 2 * step["adapters"], "gradients": 0}
    text = training_markdown(report(watched=replace(SEEN, held=held)))
    assert cells(text, "base weights")[-1] == "0%"
    assert cells(text, "adapters")[-1] == "-50.0%"


def test_on_a_cpu_only_the_plan_has_levels() -> None:
    text = training_markdown(report(watched=replace(SEEN, peak=None, levels=None)))
    assert "torch counts no memory here" in text
    assert cells(text, "reserved")[1:] == ["not known", "–"]


def test_without_a_plan_the_reason_stands_there() -> None:
    text = training_markdown(report(plan=None, run=None, unplanned="the planner does not have rank_pattern"))
    assert "There is no plan to hold it to: the planner does not have rank_pattern." in text
    assert cells(text, "allocated")[0] == "–"
    assert "## Memory" not in text and "## How to reproduce it" not in text


def test_it_is_the_cost_report_of_its_run_with_the_measured_column_filled() -> None:
    seen = replace(
        SEEN,
        peak=Peak(ALLOCATED, "optimizer_step", 3, Shape(1, 64)),
        levels=AllocatorLevels(ALLOCATED, RESERVED, ALLOCATED, RESERVED + 2**26, retries=0),
        held=dict(PLAN.memory.instants[-1].components),
    )
    kept = measured(seen)
    assert kept is not None
    text = training_markdown(report(watched=seen), replace(kept, device=StandIn(gpu="L4").described()))
    for title in ("Memory", "Time and cost", "Simulated and measured", "How to reproduce it"):
        assert f"## {title}\n" in text
    # the first table with this row is of what was seen; the one that counts is of the record
    known = text.partition("## Simulated and measured")[2]
    size = f"{ALLOCATED / GIB:.2f}"
    assert cells(known, "allocated") == [size, size, "0 (0%)"]
    assert "lora-plan report --run run.yaml --gpu L4\n" in text
    # without a record there is nothing that it could be
    assert "## Simulated and measured" not in training_markdown(report())


def test_speed_is_measured_and_estimated() -> None:
    text = training_markdown(report())
    assert "Measured: 0.500 s a step over 2 steps" in text and "Measured: 128 tokens/s" in text
    assert "tokens/s on L4" in text
    assert "No step was timed" in training_markdown(report(watched=replace(SEEN, timed=0, seconds=0.0, tokens=0)))


def test_what_was_warned_of_stands_first() -> None:
    found = Forecast(Shape(1, 128), None, 3 * GIB, 4 * GIB, 2 * GIB, True, 64)
    text = training_markdown(report(forecast=found, warning="the longest sample has 128 tokens"))
    assert text.splitlines()[4] == "**Said after step 2:** the longest sample has 128 tokens."
    assert "3.0 GiB allocated and 4.0 GiB reserved of 2.0 GiB usable, measured at step 2" in text


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ranks": 4}, "The figures are of one rank of 4."),
        ({"ranks": 4}, "The buffers in which ranks exchange gradients are estimated here"),
        ({"plan": plan(RUN.replace(num_gpus=2), "l4")}, "tokens/s on 2 x L4 together"),
        ({"notes": ("one thing",)}, "## Not in the plan\n\n- one thing."),
        ({"lengths": Lengths(64, False, None, "50 of 90 samples were read")}, "64 tokens, at least (50 of 90"),
        ({"lengths": Lengths(None, False, None, "a stream")}, "Longest sample: not known (a stream)."),
        ({"run": RUN.replace(target_modules="q_proj|v_proj")}, "target_modules: q_proj|v_proj"),
        ({"watched": replace(SEEN, largest=None)}, "Micro-batches seen: not known."),
        (
            {"watched": replace(SEEN, levels=AllocatorLevels(0, MIB, 0, MIB, retries=2))},
            "ran full and gave back its cache 2 times",
        ),
    ],
)
def test_what_is_special_is_said(changes: dict[str, Any], part: str) -> None:
    assert part in training_markdown(report(**changes))

"""`CostReport`: everything that a report says of one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from planner.errors import InputError
from planner.plan_types import Parameters, Plan, Suggestion
from planner.run import TrainingRun
from reports.records import model_name
from reports.verdict import method_title, model_title

if TYPE_CHECKING:
    from planner.dataset import LengthProfile
    from planner.trainer_configs import Reading
    from pricing.plan_quotes import PlanQuotes
    from pricing.recommendation import Recommendation
    from profiler.records.record import Record
    from profiler.simulate.types import Simulation
    from profiler.verification import Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class CostReport:
    """One run: what is estimated, simulated and measured of it, what it costs, and what else there is."""

    run: TrainingRun

    plan: Plan | None
    """As `lora-plan` prints it: what a record measured of the run stands in the place of the estimate."""

    estimate: Plan | None
    """The plan by formulas alone."""

    unplanned: str | None
    """Why there is no plan."""

    suggestions: tuple[Suggestion, ...] = ()

    quotes: PlanQuotes | None = None

    lengths: LengthProfile | None = None
    """Of the job's dataset."""

    reading: Reading | None = None
    """Of the trainers' configs that the run is from."""

    simulation: Simulation | None = None

    unsimulated: str | None = None
    """Why there is no simulation, where one was asked for."""

    record: Record | None = None

    verification: Verification | None = None
    """The record's measurement, held to the estimate and the simulation."""

    others: Recommendation | str | None = None
    """Other ways to do the job, or why there are none, in a sentence; None where they were not looked for."""

    command: str
    """What makes this report again, from a file with the run called `run.yaml`."""

    day: date
    """That the ages of prices are counted from."""

    version: str
    """Of lora-plan."""

    @property
    def parameters(self) -> Parameters | None:
        """As they were counted, by whichever counted them."""
        measured = self.verification.measurement if self.verification is not None else None
        counted = next((one for one in (self.plan, self.simulation, measured) if one is not None), None)
        return counted.parameters if counted is not None else None

    @property
    def to_name_a_card(self) -> str:
        """What to do where the plan names no card: of a record that a CPU made, the command takes none."""
        if self.record is None:
            return "name a card with --gpu"
        return "report on the run with a card: `lora-plan report --run run.yaml --gpu NAME`"


def run_title(run: TrainingRun) -> str:
    """`Llama-3.1-70B QLoRA`; of a model that is not here, by its name in the run."""
    try:
        name = model_title(run)
    except InputError:
        name = model_name(run)
    return f"{name} {method_title(run)}"

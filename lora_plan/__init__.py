"""The public Python names of lora-plan, imported when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lora_plan.callback import LoraPlanCallback
    from planner.errors import Abstention, InputError, NotMeasured, NoUsableDevice
    from planner.job import Job
    from planner.plan import plan
    from planner.plan_types import Plan
    from planner.run import TrainingRun
    from pricing.recommend import recommend
    from pricing.recommendation import Recommendation
    from pricing.wishes import Wishes
    from profiler.simulate.simulate import simulate
    from profiler.simulate.types import Simulation
    from profiler.verification import Verification
    from profiler.verify import verify

__version__ = "0.1.0"

__all__ = [
    "Abstention",
    "InputError",
    "Job",
    "LoraPlanCallback",
    "NoUsableDevice",
    "NotMeasured",
    "Plan",
    "Recommendation",
    "Simulation",
    "TrainingRun",
    "Verification",
    "Wishes",
    "__version__",
    "plan",
    "recommend",
    "simulate",
    "verify",
]

_MODULES = {
    "Abstention": "planner.errors",
    "InputError": "planner.errors",
    "Job": "planner.job",
    "LoraPlanCallback": "lora_plan.callback",
    "NoUsableDevice": "planner.errors",
    "NotMeasured": "planner.errors",
    "Plan": "planner.plan_types",
    "Recommendation": "pricing.recommendation",
    "Simulation": "profiler.simulate.types",
    "TrainingRun": "planner.run",
    "Verification": "profiler.verification",
    "Wishes": "pricing.wishes",
    "plan": "planner.plan",
    "recommend": "pricing.recommend",
    "simulate": "profiler.simulate.simulate",
    "verify": "profiler.verify",
}


def __getattr__(name: str) -> object:
    # PEP 562: the command line must not pay for names that it does not use
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

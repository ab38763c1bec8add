"""The public surface, exactly; and that importing it imports nothing heavy."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import lora_plan
from tests.lora_plan.cli import ROOT

NAMES = [
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


def test_the_public_names_are_these_and_no_others() -> None:
    assert lora_plan.__all__ == NAMES
    assert dir(lora_plan) == NAMES


def test_each_name_is_that_of_its_own_module() -> None:
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

    for name, value in {
        "Abstention": Abstention,
        "InputError": InputError,
        "Job": Job,
        "LoraPlanCallback": LoraPlanCallback,
        "NoUsableDevice": NoUsableDevice,
        "NotMeasured": NotMeasured,
        "Plan": Plan,
        "Recommendation": Recommendation,
        "Simulation": Simulation,
        "TrainingRun": TrainingRun,
        "Verification": Verification,
        "Wishes": Wishes,
        "plan": plan,
        "recommend": recommend,
        "simulate": simulate,
        "verify": verify,
    }.items():
        assert getattr(lora_plan, name) is value


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        lora_plan.train  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_projects() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    assert lora_plan.__version__ == declared[1]


def test_the_import_is_lazy() -> None:
    code = "import sys, lora_plan; print([name for name in sys.modules if name.startswith(('planner', 'profiler'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"

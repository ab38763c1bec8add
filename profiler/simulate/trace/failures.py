"""What stops a trace, in a sentence: the operator, the module, and what to change."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
from collections.abc import Generator

from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)

from planner.errors import Abstention, InputError
from planner.run import TrainingRun
from profiler.simulate.trace.trace import LOAD
from profiler.simulate.trace.tracker import Tracker


@contextlib.contextmanager
def explained(tracker: Tracker, run: TrainingRun, layers: str) -> Generator[None]:
    """Errors of the stack as `Abstention`s that say where they happened."""
    try:
        yield
    except (InputError, Abstention):
        raise
    except (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException) as error:
        raise Abstention(
            f"the operator {error.func} in {_place(tracker, layers)} cannot run on tensors without data",
            way_out=_way_out(run),
        ) from error
    except NotImplementedError as error:
        raise Abstention(
            f"{_operator(tracker)} in {_place(tracker, layers)} has no kernel for tensors without data "
            f"({_first_line(error)})",
            way_out=_way_out(run),
        ) from error
    except Exception as error:
        raise Abstention(
            f"the training stack fails in {_place(tracker, layers)} ({type(error).__name__}: {_first_line(error)})",
            way_out=_way_out(run),
        ) from error


def _place(tracker: Tracker, layers: str) -> str:
    _, module, window = tracker.failed or ("", "", tracker.window)
    if window.phase == LOAD:
        return "loading"
    place = module if window.layer is None else f"{layers}.{window.layer}.{module}".rstrip(".")
    return f"{place or 'the model'} ({window.phase.replace('_', ' ')})"


def _operator(tracker: Tracker) -> str:
    return f"the operator {tracker.failed[0]}" if tracker.failed else "something"


def _way_out(run: TrainingRun) -> str:
    changes = [
        ("attention sdpa", run.attention not in ("sdpa", "eager")),
        ("kernels hf", run.kernels != "hf"),
        ("quantization none", run.quantization != "none"),
    ]
    nearest = next((change for change, applies in changes if applies), None)
    if nearest is None:
        return "plan it without simulating"
    return f"try it with {nearest}, or plan it without simulating"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200].rstrip(".")

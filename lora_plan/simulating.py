"""A simulation as the command line makes it: from the cache where there is one, with a bar while it runs."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_plan.interrupt import leaving_at_once
from lora_plan.output import write_error
from lora_plan.progress import ProgressBar

if TYPE_CHECKING:
    from planner.catalogue import Gpu
    from planner.run import TrainingRun
    from profiler.simulate.types import Simulation


def simulated(
    run: TrainingRun,
    card: Gpu | str | None,
    *,
    quiet: bool,
    cached: bool = True,
    export: Path | None = None,
    **how: Any,
) -> Simulation:
    """What `profiler.simulate.simulate.simulate` gives, called with `how`.

    quiet: without a bar. What goes wrong with the cache is said on stderr. Raises what `simulate` raises.
    """
    from profiler.simulate.progress import silent

    bar = ProgressBar()
    how["progress"] = silent if quiet else bar.tell

    def simulator(*what: Any, **how: Any) -> Simulation:
        from profiler.simulate.simulate import simulate

        # the cache is not written meanwhile: there is nothing that Ctrl-C could leave behind
        with contextlib.closing(bar), leaving_at_once(bar.close):
            simulation = simulate(*what, **how)
        if not gc.isenabled():
            gc.freeze()  # as the process ends, Python looks for cycles among all that libraries made: two seconds
        return simulation

    if export is not None:
        return simulator(run, card, export=export, **how)  # a simulation is kept without its stream
    if not cached:
        return simulator(run, card, **how)
    from profiler.simulate.cache import SimulationCache
    from profiler.simulate.cached import simulate_cached

    cache = SimulationCache()
    simulation = simulate_cached(run, card, cache=cache, simulator=simulator, **how)
    for warning in cache.warnings:
        write_error(warning)
    return simulation

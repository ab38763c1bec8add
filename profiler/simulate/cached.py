"""`simulate`, through the simulations that are kept on disk."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from planner.catalogue import Gpu, find_gpu
from planner.catalogue.files import read_bytes
from planner.plan import loaded_config
from planner.run import TrainingRun
from profiler.documents import NotADocument, from_document, to_document
from profiler.simulate.allocator.settings import AllocatorSettings
from profiler.simulate.cache import DAMAGED, SimulationCache
from profiler.simulate.progress import Progress, silent
from profiler.simulate.types import Simulation

_ROOT = Path(__file__).parents[2]
_SOURCES = ("planner", "profiler/simulate")
"""Packages whose code decides what a simulation says."""


def simulate_cached(
    run: TrainingRun,
    gpu: Gpu | str | None = None,
    *,
    cache: SimulationCache,
    peft_config: str | None = None,
    full_depth: bool = False,
    settings: AllocatorSettings | None = None,
    live: bool = False,
    progress: Progress = silent,
    simulator: Callable[..., Simulation] | None = None,
) -> Simulation:
    """What `simulate` gives for the same arguments: from `cache`, or simulated and then kept there.

    `simulator` is called as `simulate` is, in its place.

    What is found there takes no training stack to be imported, though one has to be installed: its versions
    are part of what a simulation is kept under. Raises what `simulate` raises; `cache.warnings` has what
    went wrong with the cache.
    """
    note = None
    if isinstance(gpu, str):
        match = find_gpu(gpu)
        # kept without the note, which is about how the card was spelt
        gpu, note = match.gpu, match.note
    settings = settings or AllocatorSettings()
    key = _key(run, gpu, peft_config, full_depth, settings) | {"live": live}
    simulation = _found(cache, key)
    if simulation is None:
        if simulator is None:
            from profiler.simulate.simulate import simulate as simulator
        simulation = simulator(
            run, gpu, peft_config=peft_config, full_depth=full_depth, settings=settings, live=live, progress=progress
        )
        cache.put(key, to_document(simulation))
    return replace(simulation, notes=(note, *simulation.notes)) if note else simulation


def _found(cache: SimulationCache, key: Mapping[str, object]) -> Simulation | None:
    document = cache.get(key)
    if document is not None:
        with suppress(NotADocument):
            return from_document(Simulation, document)
        if DAMAGED not in cache.warnings:
            cache.warnings.append(DAMAGED)
    return None


def _key(
    run: TrainingRun, gpu: Gpu | None, peft_config: str | None, full_depth: bool, settings: AllocatorSettings
) -> dict[str, object]:
    """Everything that a simulation is made of: what was asked for, the files behind it, and the code."""
    from profiler.simulate.stack import versions

    loaded = loaded_config(run.model)
    return {
        "run": run.to_dict(),
        "defaulted": run.defaulted,
        "config": loaded.config,
        "note": loaded.note,
        "peft_config": None if peft_config is None else _digest(_peft_file(peft_config)),
        "gpu": None if gpu is None else asdict(gpu),
        "full_depth": full_depth,
        "settings": asdict(settings),
        "versions": versions(run.kernels),
        "python": [sys.implementation.name, *sys.version_info[:3], sys.platform],
        "sources": _digest(*_sources()),
    }


def _peft_file(path: str) -> bytes:
    file = Path(path)
    if file.is_dir():
        file = file / "adapter_config.json"
    return read_bytes(file, field="peft_config")


def _sources() -> list[bytes]:
    """Every module of the packages, so that what a changed simulator says is never an older one's."""
    files = sorted(file for package in _SOURCES for file in (_ROOT / package).rglob("*.py"))
    return [part for file in files for part in (str(file.relative_to(_ROOT)).encode(), file.read_bytes())]


def _digest(*parts: bytes) -> str:
    import hashlib  # loads OpenSSL

    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()

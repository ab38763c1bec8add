"""`plan`: from a training run and a card to whether it fits and where every byte goes."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from planner.architecture.config import Config
from planner.architecture.config_file import LoadedConfig, load_config
from planner.architecture.families import build
from planner.architecture.modules import Architecture, as_released
from planner.catalogue import Gpu, find_gpu
from planner.errors import Abstention
from planner.footprint import footprint
from planner.memory.estimate import estimate, limits
from planner.memory.ledger import Memory
from planner.memory.supported import with_supported_attention
from planner.notes import notes_on
from planner.plan_types import Limits, Parameters, Plan, PlannedGpu
from planner.run import TrainingRun
from planner.strategies.communicators import outside_allocator, usable_bytes
from planner.time.step import step_at_length, step_time
from planner.time.step_time import StepTime

if TYPE_CHECKING:
    from planner.job import Job


def plan(run: TrainingRun, gpu: Gpu | str | None = None, job: Job | None = None) -> Plan:
    """Plan a run on a card (its name, or a `Gpu`), or on none yet; with a job, how long that takes there.

    Raises `InputError` where the run, its model or the card cannot be used, and `Abstention` where the
    planner does not know how to estimate it.
    """
    gpu_note = None
    if isinstance(gpu, str):
        match = find_gpu(gpu)
        gpu, gpu_note = match.gpu, match.note
    loaded, architecture, run = resolved_run(run)
    estimated = estimate(architecture, run, gpu)
    memory, profile = estimated.memory, estimated.profile
    files = footprint(architecture, run, profile)
    step, time_note = _step_time(architecture, run, gpu)
    if job is not None and step is not None and gpu is not None:
        from planner.job import job_time

        needed = job_time(run, job, step_at_length(architecture, run, gpu), files)
    else:
        needed = None
    assumed = () if needed is None else needed.assumptions
    notes = (loaded.note, gpu_note, time_note, *notes_on(architecture, run, gpu, profile), *assumed)
    return Plan(
        run=run,
        gpu=_planned_gpu(gpu, run) if gpu is not None else None,
        verdict=verdict(memory, gpu) if gpu is not None else None,
        memory=memory,
        parameters=Parameters(profile.trained.total, profile.trained.trainable),
        footprint=files,
        limits=Limits(*limits(architecture, run, gpu, estimated), architecture.max_position_embeddings)
        if gpu is not None
        else None,
        time=step,
        job=needed,
        notes=tuple(note for note in notes if note),
    )


def _step_time(architecture: Architecture, run: TrainingRun, gpu: Gpu | None) -> tuple[StepTime | None, str | None]:
    """The time of a step on a card, or why it is not known."""
    if gpu is None:
        return None, None
    try:
        return step_time(architecture, run, gpu), None
    except Abstention as abstention:
        return None, f"How long a step takes is not planned: {abstention.reason}"


def plan_memory(run: TrainingRun, gpu: Gpu | str | None = None) -> Memory:
    """The memory of a plan alone, without what fits besides. Raises as `plan` does."""
    if isinstance(gpu, str):
        gpu = find_gpu(gpu).gpu
    _, architecture, run = resolved_run(run)
    return estimate(architecture, run, gpu).memory


def resolved_run(run: TrainingRun) -> tuple[LoadedConfig, Architecture, TrainingRun]:
    """The config and architecture of a run's model, and the run with an attention that it has.

    Raises as `resolve` and `with_supported_attention` do.
    """
    loaded, architecture = resolve(run.model, run.transformers_version)
    return loaded, architecture, with_supported_attention(architecture, run)


def verdict(memory: Memory, gpu: Gpu) -> str:
    """`fits`: with all that the allocator caches; `tight`: live tensors do, and it has to give back what it cached (or
    the figures are a little high); `does_not_fit`: not even they.

    memory: as estimated on this card. Beside the CUDA context it knows what NCCL takes of the card where there are
    several.
    """
    held, process = memory.peak_bytes.reserved, memory.peak_bytes.process
    usable = gpu.usable_bytes if process is None else gpu.usable_bytes + gpu.context_bytes - (process - held)
    if memory.interval_bytes.high <= usable:
        return "fits"
    return "tight" if memory.allocated_interval_bytes.low <= usable else "does_not_fit"


def resolve(model: str, transformers: str | None = None) -> tuple[LoadedConfig, Architecture]:
    """The config of what `--model` names, and its architecture in a release of transformers (None: the newest).

    Raises `InputError` and `Abstention` as `load_config`, `build` and `as_released` do.
    """
    loaded, architecture = _resolved(model, _stamp(model))
    return loaded, as_released(architecture, transformers)


def loaded_config(model: str) -> LoadedConfig:
    """The config of what `--model` names, of whatever architecture; checked where a family here reads it.

    Raises `InputError` where it is broken.
    """
    with suppress(Abstention):
        return resolve(model)[0]
    return _loaded(model, _stamp(model))


def _stamp(model: str) -> int:
    # makes an edited file another key of the caches
    path = Path(model)
    try:
        return path.stat().st_mtime_ns if path.exists() else 0
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=64)
def _loaded(model: str, stamp: int) -> LoadedConfig:
    return load_config(model)


@lru_cache(maxsize=64)
def _resolved(model: str, stamp: int) -> tuple[LoadedConfig, Architecture]:
    loaded = _loaded(model, stamp)
    return loaded, build(Config(loaded.config, loaded.origin))


def _planned_gpu(gpu: Gpu, run: TrainingRun) -> PlannedGpu:
    return PlannedGpu(gpu.name, run.num_gpus, gpu.memory_bytes, usable_bytes(gpu, run), outside_allocator(gpu, run))

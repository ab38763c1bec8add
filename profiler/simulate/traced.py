"""From a run to the stream of its whole training: build, trace, assemble."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from planner.catalogue import Gpu
from planner.plan import loaded_config
from planner.run import TrainingRun
from planner.trainers import TRAINERS
from profiler.simulate.approximations import approximations
from profiler.simulate.build.adapters import wrap
from profiler.simulate.build.materialize import materialize
from profiler.simulate.build.model import build_model, layers_of
from profiler.simulate.build.optimizers import Roles, roles
from profiler.simulate.build.peft_config import peft_config
from profiler.simulate.build.peft_file import read_peft_config
from profiler.simulate.build.quantize import prepare_kbit, quantize
from profiler.simulate.build.versions import preparations
from profiler.simulate.depth.assemble import Assembly, DoesNotFold
from profiler.simulate.depth.kinds import kinds_of, reduce
from profiler.simulate.depth.select import Selection, select
from profiler.simulate.device import kernels, liger, on_sim
from profiler.simulate.device.attention import AMPERE
from profiler.simulate.device.backend import FakeMode
from profiler.simulate.ledger import LayerRange
from profiler.simulate.progress import Progress, silent
from profiler.simulate.runtime import workspaces
from profiler.simulate.stream import SHORTER, Stream, compose
from profiler.simulate.trace.failures import explained
from profiler.simulate.trace.hooks import Marks
from profiler.simulate.trace.optimizer_step import TrainedTensor, trace_optimizer
from profiler.simulate.trace.step import trace_passes
from profiler.simulate.trace.trace import FORWARD, Trace
from profiler.simulate.trace.tracker import Tracker


@dataclass(frozen=True, slots=True)
class TracedRun:
    """A run's stream at full depth, and what it was made of."""

    run: TrainingRun
    peft_type: str | None
    stream: Stream
    layers: LayerRange
    layer_names: str
    """`model.layers`"""
    depth: int
    traced: int
    total: int
    trainable: int
    approximations: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Built:
    model: Any
    name: str
    """Of the list of layers, in `model`."""
    layers: nn.ModuleList
    loaded: dict[int, torch.dtype]
    tensors: list[TrainedTensor]
    roles: Roles
    total: int
    trainable: int
    peft_type: str | None
    virtual_tokens: int
    """That a prompt puts before each sequence."""


def trace_run(
    run: TrainingRun,
    peft_file: str | None = None,
    full_depth: bool = False,
    gpu: Gpu | None = None,
    tell: Progress = silent,
    *,
    with_workspaces: bool = True,
) -> TracedRun:
    """Build the run's model, trace a step of it and assemble the stream of its training.

    with_workspaces: whether cuBLAS takes its own of the allocator, as it does on CUDA.
    """
    libraries = workspaces(gpu) if with_workspaces else ()
    padded = run.micro_batch_size > 1 and not run.packing
    with on_sim(padded=padded, capability=_capability(gpu)), liger.kernels_of(run, _capability(gpu)):
        tell("building the model", 0.4)
        built = _build(run, peft_file)
        kinds = kinds_of(built.layers, built.model.config)
        depth = len(kinds)
        selection = select(kinds) if not full_depth else _everything(depth)
        tell("tracing a step", 0.5)
        trace = _trace(built, run, selection)
        assembly = Assembly(trace, selection)
        notes: list[str] = []
        try:
            stream, layers = _assembled(built, run, libraries, trace, selection, assembly, tell)
        except DoesNotFold:
            if len(selection.kept) == depth:
                raise
            notes.append("the layers depend on each other in a way that a few of them do not show: all were traced")
            built = _build(run, peft_file)
            selection = _everything(depth)
            trace = _trace(built, run, selection)
            stream, layers = _assembled(built, run, libraries, trace, selection, Assembly(trace, selection), tell)
    return TracedRun(
        run=run,
        peft_type=built.peft_type,
        stream=stream,
        layers=layers,
        layer_names=_plain(built.name),
        depth=depth,
        traced=len(selection.kept),
        total=built.total,
        trainable=built.trainable,
        approximations=approximations(run, gpu),
        notes=tuple(notes),
    )


def _build(run: TrainingRun, peft_file: str | None) -> _Built:
    config: Any = read_peft_config(peft_file) if peft_file is not None else None
    model = build_model(run, loaded_config(run.model))
    _, layers = layers_of(model)
    quantize(model, run)
    dtypes = {id(parameter): parameter.dtype for parameter in model.parameters()}
    prepare_kbit(model, run)
    if run.gradient_checkpointing:
        model.activation_checkpointing_enable(
            {"use_reentrant": run.use_reentrant}, every_n_layers=run.checkpoint_every, offload=run.checkpoint_offload
        )
    model = wrap(model, run, config if config is not None else peft_config(run))
    liger.apply(model, run)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return _Built(
        model=model,
        name=next(name for name, module in model.named_modules() if module is layers),
        layers=layers,
        loaded=dtypes,
        tensors=[TrainedTensor(name, tuple(parameter.shape), parameter.dtype) for name, parameter in trained],
        roles=roles(model),
        total=sum(parameter.numel() for parameter in model.parameters()),
        trainable=sum(parameter.numel() for _, parameter in trained),
        peft_type=None if config is None else config.peft_type.value,
        virtual_tokens=getattr(getattr(model, "active_peft_config", None), "num_virtual_tokens", 0),
    )


def _trace(built: _Built, run: TrainingRun, selection: Selection) -> Trace:
    reduce(built.model, built.name, built.layers, selection.kept)
    layers = built.model.get_submodule(built.name)
    tracker = Tracker(kernels.answer)
    marks = Marks(tracker, list(layers), _module_names(built.model, built.name))
    with explained(tracker, run, _plain(built.name)), FakeMode(), tracker:
        materialize(built.model, layers, built.loaded, tracker)
        with marks.on(built.model):
            trace_passes(built.model, run, marks, tracker, preparations(run))
        tracker.close()
    return tracker.trace


def _assembled(
    built: _Built,
    run: TrainingRun,
    libraries: tuple[int, ...],
    trace: Trace,
    selection: Selection,
    assembly: Assembly,
    tell: Progress,
) -> tuple[Stream, LayerRange]:
    names = _gradient_names(built, trace, selection)
    tell("tracing the optimizer", 0.7)
    reached = [tensor for tensor in built.tensors if tensor.name in names]
    optimizer = trace_optimizer(reached, built.roles, run, kernels.answer)
    stream = compose(
        assembly,
        optimizer,
        [names[tensor.name] for tensor in reached],
        micro_batches=run.gradient_accumulation_steps,
        workspaces=libraries,
        loop=TRAINERS[run.trainer],
        empty_cache=run.empty_cache,
        shorter=(built.virtual_tokens + SHORTER * run.sequence_length) / (built.virtual_tokens + run.sequence_length),
    )
    windows = [play.window for play in assembly.plays]
    ran = [window.layer for window in windows if window.phase == FORWARD and window.layer is not None]
    return stream, LayerRange(min(ran), max(ran))


def _gradient_names(built: _Built, trace: Trace, selection: Selection) -> dict[str, Hashable]:
    """Trained tensor of the whole model -> its gradient's name in the assembled stream, where it gets one."""
    prefix = f"{built.name}."
    found: dict[str, Hashable] = {}
    for tensor in built.tensors:
        layer: int | None = None
        name = tensor.name
        if name.startswith(prefix):
            number, _, rest = name.removeprefix(prefix).partition(".")
            layer = int(number)
            name = f"{prefix}{selection.stands_for[layer]}.{rest}"
        made = trace.gradients.get(name)
        if made is None:
            continue
        window = trace.windows[made.window].window
        if window.layer is not None:
            own = window.layer if layer is None else selection.stands_for[layer]
            here = selection.kept[own] if layer is None else layer
            window = window._replace(layer=here + window.layer - own)
        found[tensor.name] = (window, made.number)
    return found


def _capability(gpu: Gpu | None) -> tuple[int, int]:
    """Of an NVIDIA card; of any other, and of none, the A100's."""
    major, _, minor = (gpu.compute_capability if gpu is not None else "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else AMPERE


def _module_names(model: nn.Module, layers: str) -> dict[int, str]:
    """Modules by their id, named as in the model; those of a layer from the layer on."""
    names: dict[int, str] = {}
    for name, module in model.named_modules():
        inside = name.startswith(f"{layers}.")
        names[id(module)] = name.removeprefix(f"{layers}.").partition(".")[2] if inside else _plain(name)
    return names


def _plain(name: str) -> str:
    """A module's name without what PEFT puts around the model."""
    for around in ("base_model.model.", "base_model."):
        if name.startswith(around):
            return name.removeprefix(around)
    return name


def _everything(depth: int) -> Selection:
    return Selection(tuple(range(depth)), tuple(range(depth)))

"""What a run trains: how many parameters, in which tensors, and what they add to memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from planner.architecture.modules import Architecture, Module, Shape
from planner.errors import InputError
from planner.methods import Wrapped, method_of
from planner.methods.base import AddedTensor, kept_dtype
from planner.methods.lora import wrapped_parameter
from planner.optimizers.tensors import Trained
from planner.run import TrainingRun
from planner.units import DTYPE_BYTES


@dataclass(frozen=True, slots=True)
class TrainableSummary:
    """The trained tensors of a run."""

    trainable: int
    """Trained parameters: the first number of PEFT's `get_nb_trainable_parameters`."""
    total: int
    """Parameters of the base model and added ones: the second number (GPTQ and AWQ weights included, which
    are no parameters to PEFT)."""
    added_bytes: int
    """Bytes on the device of what the method adds to the base: adapters, copies, buffers."""
    gradient_bytes: int
    """Bytes of the gradients of everything trained that a batch reaches."""
    parameter_bytes: int
    """Bytes of everything trained, what no batch reaches included."""
    tensors: tuple[Trained, ...]
    """The trained tensors that get gradients, by shape and dtype."""


def trainable(architecture: Architecture, run: TrainingRun) -> TrainableSummary:
    """Count what a run trains.

    Raises `InputError` where the run's targets or rank do not suit the model, `Abstention` where PEFT's
    treatment of a target is not known.
    """
    found = wrapped(architecture, run)
    base: Counter[Trained] = Counter()
    added: Counter[Trained] = Counter()
    buffers = 0
    idle: Counter[Trained] = Counter()
    for name, module in architecture.modules():
        reached = not f"{name}.".startswith(architecture.idle)
        for parameter in _of_base(found, run, name, module):
            (base if reached else idle)[parameter] += 1
    idle_added: Counter[Trained] = Counter()
    for name, tensor in added_tensors(architecture, run, found):
        if tensor.shared:
            continue
        if tensor.trained:
            kind = Trained(tensor.shape, tensor.dtype, embedding=tensor.embedding)
            (idle_added if f"{name}.".startswith(architecture.idle) else added)[kind] += 1
        else:
            buffers += tensor.count * DTYPE_BYTES[tensor.dtype]
    reached_tensors = base + added
    return TrainableSummary(
        trainable=_elements(reached_tensors + idle + idle_added),
        total=architecture.parameters + _elements(added + idle_added),
        added_bytes=_bytes(added + idle_added) + buffers,
        gradient_bytes=_bytes(reached_tensors),
        parameter_bytes=_bytes(reached_tensors + idle + idle_added),
        tensors=tuple(replace(tensor, count=times) for tensor, times in reached_tensors.items()),
    )


def wrapped(architecture: Architecture, run: TrainingRun) -> Wrapped:
    """The targets and copies of a run. Raises `InputError` where they do not go together."""
    method = method_of(run)
    targets = method.targets(architecture, run)
    parameters = dict(method.parameters(architecture, run))
    copies = method.copies(architecture, run)
    twice = targets & copies or copies.intersection(name.rpartition(".")[0] for name in parameters)
    if twice:
        raise InputError(
            f"'{min(twice)}' is matched by both target_modules and modules_to_save, which compares the ends "
            "of names; take it out of one of them",
            field="modules_to_save",
        )
    both = targets.intersection(name.rpartition(".")[0] for name in parameters)
    if both:
        raise InputError(
            f"'{min(both)}' is matched by both target_modules and target_parameters; take it out of one of them",
            field="target_parameters",
        )
    return Wrapped(method, targets, parameters, copies)


def added_tensors(architecture: Architecture, run: TrainingRun, found: Wrapped) -> Iterator[tuple[str, AddedTensor]]:
    """Every tensor that the method adds, with the full name of its module (empty for one of the whole model)."""
    for tensor in found.method.added_once(architecture, run):
        yield "", tensor
    cache: dict[tuple[int, bool], tuple[AddedTensor, ...]] = {}
    dtype = kept_dtype(run)
    for name, module in architecture.modules():
        if name in found.targets:
            # one entry for all layers: what is added does not depend on which layer a module is in
            key = (id(module), True)
            if key not in cache:
                cache[key] = found.method.added(architecture, run, name, module)
            for tensor in cache[key]:
                yield name, tensor
        if name in found.copies:
            key = (id(module), False)
            if key not in cache:
                cache[key] = tuple(copied(module, dtype))
            for tensor in cache[key]:
                yield name, tensor
        for parameter, shape in module.parameters if found.parameters else ():
            rank = found.parameters.get(f"{name}.{parameter}")
            if rank is not None:
                for tensor in wrapped_parameter(f"{name}.{parameter}", shape, rank, run.adapter_dtype):
                    yield name, tensor


def copied(module: Module, dtype: str) -> Iterator[AddedTensor]:
    """The parameters of a trained copy of `module`."""
    for parameter, shape in module.parameters:
        embedding = module.kind == "embedding" and parameter == "weight"
        yield AddedTensor(parameter, shape, dtype, embedding=embedding)


def trained_in_place(found: Wrapped, run: TrainingRun, name: str, module: Module) -> Iterable[tuple[str, Shape]]:
    """Base parameters of `module` that are trained themselves; a tied weight is left to its owner.

    Those of a module that is copied are frozen (`ModulesToSaveWrapper.update`).
    """
    if name in found.copies:
        return ()
    names = found.method.trains(module, run, wrapped=name in found.targets)
    if not names:
        return ()
    return [
        (parameter, shape)
        for parameter, shape in module.parameters
        if parameter in names and not (module.tied_to and parameter == "weight")
    ]


def _of_base(found: Wrapped, run: TrainingRun, name: str, module: Module) -> Iterator[Trained]:
    for parameter, shape in trained_in_place(found, run, name, module):
        embedding = module.kind == "embedding" and parameter == "weight"
        yield Trained(shape, kept_dtype(run), embedding=embedding)


def _elements(tensors: Counter[Trained]) -> int:
    return sum(tensor.elements * times for tensor, times in tensors.items())


def _bytes(tensors: Counter[Trained]) -> int:
    return sum(prod(tensor.shape) * DTYPE_BYTES[tensor.dtype] * times for tensor, times in tensors.items())

"""How a run sees the modules of a model: which are wrapped, copied or quantized, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.architecture.modules import Architecture, Block, Module
from planner.memory.forward import BlockForward
from planner.memory.shared import Shared
from planner.methods import Method, Wrapped
from planner.quantization import Scheme, is_quantized, scheme
from planner.run import TrainingRun
from planner.run.precision import autocast_dtype
from planner.tape import Tape


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a run sees the modules of one block."""

    method: Method
    scheme: Scheme | None
    targets: frozenset[str]
    copies: frozenset[str]
    quantized: frozenset[str]
    parameters: Mapping[str, int]
    model_type: str


@dataclass(frozen=True, slots=True)
class Variant:
    """Blocks of one kind in which the method wraps the same modules."""

    block: Block
    wiring: Wiring
    layers: tuple[int, ...]


def new_tape(run: TrainingRun, *, training: bool = True) -> Tape:
    """A tape under the run's autocast."""
    return Tape(
        autocast=autocast_dtype(run),
        accumulating=run.gradient_accumulation_steps > 1,
        training=training,
        batch=run.micro_batch_size,
        sequence=run.sequence_length,
    )


def block_forward(
    tape: Tape, run: TrainingRun, modules: Iterable[Module], wiring: Wiring, shared: Shared
) -> BlockForward:
    """The forward pass over `modules` as the run wires them."""
    return BlockForward(
        tape,
        run,
        modules={module.name: module for module in modules},
        method=wiring.method,
        scheme=wiring.scheme,
        targets=wiring.targets,
        copies=wiring.copies,
        quantized=wiring.quantized,
        shared=shared,
        parameters=wiring.parameters,
        model_type=wiring.model_type,
    )


def wire_outer(architecture: Architecture, run: TrainingRun, found: Wrapped) -> Wiring:
    """The wiring of the modules outside the blocks, under their full names."""
    modules = {module.name: module for module in architecture.outer}
    return _wiring(architecture, run, modules, "", found, _quantized(architecture, run, modules, ""))


def wire_blocks(architecture: Architecture, run: TrainingRun, found: Wrapped) -> tuple[Variant, ...]:
    """The wirings of the blocks, in the order of their first layer."""
    groups: dict[object, list[int]] = {}
    wirings: dict[object, tuple[Block, Wiring]] = {}
    for position, block in enumerate(architecture.blocks):
        modules = {module.name: module for module in block.modules}
        quantized: frozenset[str] | None = None
        for layer in block.layers:
            prefix = f"{architecture.block_prefix}.{layer}."
            if quantized is None:
                quantized = _quantized(architecture, run, modules, prefix)
            wiring = _wiring(architecture, run, modules, prefix, found, quantized)
            key = (position, wiring.targets, wiring.copies, tuple(wiring.parameters.items()))
            groups.setdefault(key, []).append(layer)
            wirings.setdefault(key, (block, wiring))
    return tuple(Variant(*wirings[key], tuple(layers)) for key, layers in groups.items())


def _wiring(
    architecture: Architecture,
    run: TrainingRun,
    modules: Mapping[str, Module],
    prefix: str,
    found: Wrapped,
    quantized: frozenset[str],
) -> Wiring:
    parameters = {
        name.removeprefix(prefix): rank
        for name, rank in found.parameters.items()
        if name.startswith(prefix) and name.removeprefix(prefix).rpartition(".")[0] in modules
    }
    return Wiring(
        method=found.method,
        model_type=architecture.model_type,
        scheme=scheme(run.quantization),
        targets=frozenset(name for name in modules if prefix + name in found.targets),
        parameters=parameters,
        copies=frozenset(name for name in modules if prefix + name in found.copies),
        quantized=quantized,
    )


def _quantized(
    architecture: Architecture, run: TrainingRun, modules: Mapping[str, Module], prefix: str
) -> frozenset[str]:
    return frozenset(name for name, module in modules.items() if is_quantized(architecture, prefix + name, module, run))

"""Which block is wired how: blocks grouped by kind and by what the method wraps in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from planner.architecture.modules import Architecture, Block, Module
from planner.memory.blocks import Wiring
from planner.methods import method_of
from planner.quantization import is_quantized, scheme
from planner.run import TrainingRun


@dataclass(frozen=True, slots=True)
class Variant:
    """Blocks of one kind in which the method wraps the same modules."""

    block: Block
    wiring: Wiring
    layers: tuple[int, ...]


def wire_outer(architecture: Architecture, run: TrainingRun, targets: frozenset[str]) -> Wiring:
    """The wiring of the modules outside the blocks, under their full names."""
    return _wiring(architecture, run, {module.name: module for module in architecture.outer}, "", targets)


def wire_blocks(
    architecture: Architecture, run: TrainingRun, targets: frozenset[str]
) -> tuple[Variant, ...]:
    """The wirings of the blocks, in the order of their first layer."""
    groups: dict[tuple[int, frozenset[str], frozenset[str]], list[int]] = {}
    wirings: dict[tuple[int, frozenset[str], frozenset[str]], tuple[Block, Wiring]] = {}
    for position, block in enumerate(architecture.blocks):
        modules = {module.name: module for module in block.modules}
        for layer in block.layers:
            wiring = _wiring(architecture, run, modules, f"{architecture.block_prefix}.{layer}.", targets)
            key = (position, wiring.targets, wiring.copies)
            groups.setdefault(key, []).append(layer)
            wirings.setdefault(key, (block, wiring))
    return tuple(Variant(*wirings[key], tuple(layers)) for key, layers in groups.items())


def _wiring(
    architecture: Architecture,
    run: TrainingRun,
    modules: Mapping[str, Module],
    prefix: str,
    targets: frozenset[str],
) -> Wiring:
    names = {name: prefix + name for name in modules}
    return Wiring(
        method=method_of(run),
        scheme=scheme(run.quantization),
        targets=frozenset(name for name, full in names.items() if full in targets),
        copies=frozenset(name for name, full in names.items() if in_modules_to_save(full, run)),
        quantized=frozenset(
            name for name, full in names.items() if is_quantized(architecture, full, modules[name], run)
        ),
    )


def in_modules_to_save(name: str, run: TrainingRun) -> bool:
    """Whether PEFT trains a full copy of the module `name` (`modules_to_save` matches ends of names)."""
    return any(name == ending or name.endswith(f".{ending}") for ending in run.modules_to_save)

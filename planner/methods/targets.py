"""Which modules `target_modules` names, resolved as PEFT resolves it.

Source: `peft/tuners/tuners_utils.py` (0.21), `check_target_module_exists` and
`_maybe_include_all_linear_layers`: a list matches whole names or the ends of names at a dot; a string is a
regular expression for the whole name; `all-linear` is every linear layer but the output head.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture, Kind, Module
from planner.errors import Abstention, InputError
from planner.methods.pattern import matching
from planner.methods.saved_modules import around, excluded

if TYPE_CHECKING:
    from planner.run import TrainingRun

LINEAR: tuple[Kind, ...] = ("linear", "conv1d")
EVERY: tuple[Kind, ...] = ("linear", "conv1d", "embedding", "norm", "experts", "router", "conv", "other")

GATES = frozenset(("gate", "router", "shared_expert_gate"))
"""Parts of the names of layers that score experts: as narrow as there are experts, whatever the rank."""


def match_targets(
    architecture: Architecture,
    run: TrainingRun,
    kinds: tuple[Kind, ...],
    chosen: str | Collection[str],
) -> frozenset[str]:
    """Full names of the modules of `kinds` that `chosen` selects, without those in `modules_to_save`.

    Raises `InputError` where nothing matches, with the names that exist, and where something matches that
    the method cannot wrap, as PEFT does.
    """
    modules = dict(architecture.modules())
    if chosen == "all-linear":
        found = {name for name, module in modules.items() if module.kind in LINEAR and name != architecture.head}
    else:
        found = _named(chosen, _names(architecture))
    found = {name for name in found if not excluded(name, run)}
    for name in sorted(found):
        _check_kind(name, modules.get(name), kinds)
    if not found:
        there = (name for name, module in modules.items() if module.kind in kinds)
        raise InputError(
            f"target_modules {_shown(chosen)} matches no module of this model; it has {_last_names(there)}",
            field="target_modules",
        )
    return frozenset(found)


@lru_cache(maxsize=32)
def _names(architecture: Architecture) -> frozenset[str]:
    """Full names of all modules, and of what they are in."""
    return frozenset(outer for name, _ in architecture.modules() for outer in around(name))


def _named(chosen: str | Collection[str], names: Iterable[str]) -> set[str]:
    if isinstance(chosen, str):
        return matching(chosen, names, field="target_modules")
    endings = tuple(f".{ending}" for ending in chosen)
    return {name for name in names if f".{name}".endswith(endings)}


def _check_kind(name: str, module: Module | None, kinds: tuple[Kind, ...]) -> None:
    if module is not None and module.kind in kinds:
        return
    if module is not None and module.kind == "conv":
        raise Abstention(f"adapters of convolutions such as '{name}' are not covered")
    raise InputError(
        f"target_modules matches '{name}', which PEFT cannot adapt: it is no layer of the kinds "
        f"{', '.join(kinds)}; name the layers inside it",
        field="target_modules",
    )


def check_rank(name: str, rank: int, rows: int, cols: int) -> None:
    """Raise `InputError` where a rank exceeds the smaller side of a matrix.

    Gates that score experts are let pass: `all-linear` takes them in, and nobody chooses a rank for them.
    """
    if rank > min(rows, cols) and GATES.isdisjoint(name.split(".")):
        raise InputError(
            f"rank {rank:,} is larger than the smaller side of '{name}', which is {rows:,} x {cols:,}; "
            f"choose a rank of at most {min(rows, cols):,}, or other target_modules",
            field="rank",
        )


def _shown(chosen: str | Collection[str]) -> str:
    return f"'{chosen}'" if isinstance(chosen, str) else ", ".join(f"'{name}'" for name in sorted(chosen))


def _last_names(names: Iterable[str]) -> str:
    return ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))

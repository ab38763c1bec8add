"""Which modules `target_modules` names, resolved as PEFT resolves it.

Source: `peft/tuners/tuners_utils.py`: a list matches whole names or the ends of names at a dot; a string is a
regular expression for the whole name; `all-linear` is every linear layer but the output head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.errors import InputError

if TYPE_CHECKING:
    from planner.run import TrainingRun

TARGETABLE = ("linear", "conv1d", "embedding")


def match_targets(architecture: Architecture, run: TrainingRun) -> frozenset[str]:
    """Full names of the modules that `run.target_modules` selects.

    Raises `InputError` where nothing matches, with the names that exist.
    """
    names = {name: module for name, module in architecture.modules() if module.kind in TARGETABLE}
    saved = tuple(run.modules_to_save)
    chosen = run.target_modules
    if chosen == "all-linear":
        found = {
            name
            for name, module in names.items()
            if module.kind in ("linear", "conv1d") and name != architecture.head
        }
    elif isinstance(chosen, str):
        try:
            pattern = re.compile(chosen)
        except re.error as error:
            raise InputError(
                f"target_modules '{chosen}' is not a regular expression ({error}); correct it or give a list of names",
                field="target_modules",
            ) from None
        found = {name for name in names if pattern.fullmatch(name)}
    else:
        found = {name for name in names if _ends_with(name, chosen)}
    found = {name for name in found if not _ends_with(name, saved)}
    if not found:
        raise InputError(
            f"target_modules {_shown(chosen)} matches no module of this model; it has {_existing(names)}",
            field="target_modules",
        )
    return frozenset(found)


def _ends_with(name: str, endings: tuple[str, ...]) -> bool:
    return any(name == ending or name.endswith(f".{ending}") for ending in endings)


def _shown(chosen: str | tuple[str, ...]) -> str:
    return f"'{chosen}'" if isinstance(chosen, str) else ", ".join(f"'{name}'" for name in chosen)


def _existing(names: Iterable[str]) -> str:
    return ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names}))

"""`modules_to_save`: modules of which a full copy is trained and saved beside the adapter.

Source: `peft/utils/other.py` (0.21): `_set_trainable` copies every module whose name *ends* with one of
the words, so that `norm` copies `input_layernorm` as well; a module inside a copied one is copied with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.architecture.modules import Architecture
from planner.errors import InputError
from planner.quantization import is_quantized

if TYPE_CHECKING:
    from planner.run import TrainingRun


def saved_modules(architecture: Architecture, run: TrainingRun) -> frozenset[str]:
    """Full names of the modules that `run.modules_to_save` copies.

    Raises `InputError` where a word matches nothing, matches twice or matches a quantized module.
    """
    if not run.modules_to_save:
        return frozenset()
    found: set[str] = set()
    matched: set[str] = set()
    last_names: set[str] = set()
    for name, module in architecture.modules():
        last_names.add(name.rsplit(".", 1)[-1])
        words = [word for outer in around(name) for word in run.modules_to_save if outer.endswith(word)]
        if not words:
            continue
        if sum(any(outer.endswith(word) for word in words) for outer in around(name)) > 1:
            raise InputError(
                f"modules_to_save {_listed(words)} matches both '{name}' and a module around it; keep one of them",
                field="modules_to_save",
            )
        if is_quantized(architecture, name, module, run):
            raise InputError(
                f"modules_to_save '{words[0]}' matches '{name}', whose {run.quantization} weight cannot be "
                "trained; remove it, or set quantization to none",
                field="modules_to_save",
            )
        found.add(name)
        matched.update(words)
    for word in run.modules_to_save:
        if word not in matched:
            raise InputError(
                f"modules_to_save '{word}' matches no module of this model; it has {', '.join(sorted(last_names))}",
                field="modules_to_save",
            )
    return frozenset(found)


def around(name: str) -> Iterator[str]:
    """A module's name and those of the modules it is in: `a.b.c`, `a.b`, `a`."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def excluded(name: str, run: TrainingRun) -> bool:
    """Whether `name` is no target because it is, or lies in, a module of `modules_to_save`.

    Source: `check_target_module_exists` in `peft/tuners/tuners_utils.py`; it compares whole parts of names.
    """
    return any(f".{word}." in f".{name}." for word in run.modules_to_save)


def _listed(words: list[str]) -> str:
    return " and ".join(f"'{word}'" for word in dict.fromkeys(words))

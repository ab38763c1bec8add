"""PEFT's own targets per `model_type`, for methods that have them.

The tables are data (`data/peft_defaults.json`), copied from `peft/utils/constants.py`.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import cast

from planner.errors import InputError

_FILE = Path(__file__).parent / "data" / "peft_defaults.json"


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    return cast("dict[str, dict[str, list[str]]]", json.loads(_FILE.read_text(encoding="utf-8")))


def default_targets(table: str, model_type: str) -> tuple[str, ...]:
    """The targets of `table` (`ia3_targets`, `ln_tuning_targets`) for a `model_type`.

    Raises `InputError` where PEFT has none for it.
    """
    targets = _tables()[table].get(model_type)
    if targets is None:
        raise InputError(
            f"PEFT has no default target_modules for model type '{model_type}'; give target_modules",
            field="target_modules",
        )
    return tuple(targets)


def feedforward_modules(model_type: str) -> tuple[str, ...]:
    """IA³'s `feedforward_modules` for a `model_type`: none where PEFT has no default for it."""
    return tuple(_tables()["ia3_feedforward"].get(model_type, ()))

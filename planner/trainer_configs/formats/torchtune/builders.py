"""torchtune's model builders, and the model that each makes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Builder:
    """What one builder makes."""

    model: str
    """Catalogue name of the model with the same parameters."""

    differs: str
    """What the plan of that model leaves out; empty for nothing."""


def find_builder(component: str) -> Builder | None:
    """The builder that a config names: `torchtune.models.llama3_1.llama3_1_8b`, with or without adapters.

    None where it is not torchtune's, or takes the model's dimensions one by one.
    """
    package, _, name = component.removeprefix("torchtune.models.").rpartition(".")
    if not component.startswith("torchtune.models."):
        return None
    family = package.removesuffix("._model_builders")
    row = _rows().get(f"{family}.{name.removeprefix('qlora_').removeprefix('lora_')}")
    return None if row is None else Builder(row["model"], row["differs"])


@cache
def _rows() -> dict[str, dict[str, str]]:
    """`builders.csv` by builder: `torchtune/models/<family>/_model_builders.py` of 0.6.1.

    `differs` is what the plan of that model leaves out.
    """
    with Path(__file__).with_name("builders.csv").open(encoding="utf-8", newline="") as file:
        return {row["builder"]: row for row in csv.DictReader(file)}

"""A config that is damaged in any one place ends in a sentence, whatever the family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import planner.catalogue
from planner.architecture.families import FAMILIES
from planner.errors import Abstention, InputError
from planner.memory.step import profile_step
from planner.memory.supported import with_supported_attention
from planner.run import TrainingRun
from tests.support.families import architecture_of

CATALOGUE: dict[str, dict[str, Any]] = json.loads(
    (Path(planner.catalogue.__file__).parent / "data" / "models.json").read_text(encoding="utf-8")
)
ONE_EACH = {entry["config"]["model_type"]: entry["config"] for entry in CATALOGUE.values()}

DAMAGE: list[Any] = ["x", "4096", -1, 0, 1, 3, None, 10**12, 1.5, True, [], {}, [None], float("inf")]

SOME: list[Any] = ["x", -1, None, 10**12]
EVERYTHING = ("llama", "gpt2", "gemma3", "qwen3_moe", "deepseek_v3", "mllama")
"""Families that get all of it, one of a kind; the others share their readers, and get some."""


def damaged(config: dict[str, Any], values: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The config without each key, and with each key's value replaced; nested configs too."""
    for key, value in config.items():
        if key == "model_type":
            continue
        yield f"without {key}", {name: other for name, other in config.items() if name != key}
        for wrong in values:
            yield f"{key}={wrong!r}", config | {key: wrong}
        if isinstance(value, dict):
            for what, inner in damaged(value, values):
                yield f"{key}.{what}", config | {key: inner}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", sorted(ONE_EACH))
def test_any_damage_is_planned_or_refused_in_a_sentence(model_type: str) -> None:
    run = TrainingRun(model="damaged", method="lora")
    for what, config in damaged(ONE_EACH[model_type], DAMAGE if model_type in EVERYTHING else SOME):
        try:
            architecture = architecture_of(config)
            profile_step(architecture, with_supported_attention(architecture, run))
        except (InputError, Abstention) as error:
            assert str(error), what
        except Exception as error:
            raise AssertionError(f"{model_type} with {what}: {type(error).__name__}: {error}") from error


def test_every_family_of_the_table_is_in_the_catalogue_or_the_text_part_of_one_that_is() -> None:
    parts = {config["text_config"]["model_type"] for config in ONE_EACH.values() if "text_config" in config}
    assert FAMILIES.keys() - ONE_EACH.keys() <= parts

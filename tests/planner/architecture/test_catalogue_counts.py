"""Every model of the catalogue: its parameters, from its config alone, against an independent count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner.catalogue
from tests.support.families import architecture_of, shapes_of, shapes_of_transformers

CATALOGUE: dict[str, dict[str, Any]] = json.loads(
    (Path(planner.catalogue.__file__).parent / "data" / "models.json").read_text(encoding="utf-8")
)
BUILT = {
    name: entry for name, entry in CATALOGUE.items() if (entry["built_as"] or "").find(" ") < 0 and entry["built_as"]
}
OTHERS = sorted(CATALOGUE.keys() - BUILT.keys())


def test_the_catalogue_has_the_186_models_that_transformers_builds() -> None:
    assert (len(BUILT), len(OTHERS)) == (186, 10)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BUILT))
def test_names_and_shapes_equal_those_of_transformers(name: str) -> None:
    config = BUILT[name]["config"]
    assert shapes_of(architecture_of(config)) == shapes_of_transformers(config)


@pytest.mark.parametrize("name", OTHERS)
def test_models_of_remote_code_have_the_count_of_the_catalogue(name: str) -> None:
    assert architecture_of(CATALOGUE[name]["config"]).parameters == CATALOGUE[name]["parameters"]


@pytest.mark.parametrize("name", sorted(BUILT))
def test_counts_equal_those_of_the_catalogue(name: str) -> None:
    assert architecture_of(BUILT[name]["config"]).parameters == BUILT[name]["parameters"]

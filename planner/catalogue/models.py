"""The catalogue of named models: 196 architectures with their exact parameter counts and sources."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

from planner.catalogue.spelling import shown, squash
from planner.errors import InputError
from planner.names import did_you_mean

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Model:
    """One entry of `data/models.json`."""

    id: str
    """The Hugging Face id (`gpt-3-175b` is the one without a repository)."""

    aliases: tuple[str, ...]
    """Short names, and the ids of repositories of the same architecture."""

    config: dict[str, object]
    """The fields of its `config.json` that set parameters, memory and compute. Not to be changed."""

    parameters: int
    """Parameters of the loaded model: tied embeddings once, every expert, vision towers included."""

    parameters_basis: str
    """How the count is known."""

    dtype: str | None
    """The dtype that the weights are published in, by its torch name; None where it is not known."""

    built_as: str | None
    """The class that transformers 5.23 builds; None where the count is by hand."""

    gated: bool
    license: str
    source: str
    confidence: str
    """`high`, `medium` or `low`: whether shape and count were read and agree."""

    note: str


@dataclass(frozen=True, slots=True)
class ModelMatch:
    """The model that a name stands for, and what to tell the user of how it was read."""

    model: Model
    note: str | None


_QUANTIZED = re.compile(r"(?:-unsloth)?(?:-bnb)?-(?:4|8)bit$", re.IGNORECASE)
"""How copies in fewer bits are called."""


class _Entry(TypedDict):
    aliases: list[str]
    config: dict[str, object]
    parameters: int
    parameters_basis: str
    built_as: str | None
    gated: bool
    license: str
    source: str
    confidence: str
    note: str


def find_model(name: str) -> Model:
    """The catalogue's model of that id, alias or repository name, whatever its case and separators.

    Raises `InputError` with the nearest name where there is none.
    """
    match = match_model(name)
    if match is None:
        raise InputError(unknown_model(name), field="model")
    return match.model


def match_model(name: str) -> ModelMatch | None:
    """What `name` stands for in the catalogue, with a note where it could stand for others too."""
    identifier = _ids_by_name().get(name.strip().casefold()) or _ids_by_key().get(squash(name))
    if identifier is None:
        return None
    model = _model(identifier)
    reason = _reasons_by_key().get(squash(name))
    if reason is not None:
        return ModelMatch(model, f"'{shown(name)}' is taken as {identifier}: {reason}")
    if "/" in name and squash(name) != squash(identifier):
        return ModelMatch(model, f"'{shown(name)}' is planned as {identifier}, which has the same architecture")
    return ModelMatch(model, None)


def search_models(query: str = "") -> list[Model]:
    """The models of which the id or an alias holds every word of `query`; all of them for an empty one."""
    words = [squash(word) for word in query.split()]
    return [
        _model(identifier)
        for identifier, entry in _entries().items()
        if any(all(word in squash(name) for word in words) for name in (identifier, *entry["aliases"]))
    ]


def unknown_model(name: str) -> str:
    """The sentence for a name that is not in the catalogue, with the nearest one that is."""
    return (
        f"model '{shown(name)}' is not known; give a name that `lora-plan models` lists, a Hugging Face id "
        f"(org/name) or the path of a config.json{_nearest(name)}"
    )


def _nearest(name: str) -> str:
    """The model that somebody's copy is called after (`unsloth/Llama-3.2-1B-bnb-4bit`), or the most like name."""
    owner, _, called = name.strip().rpartition("/")
    copied = match_model(_QUANTIZED.sub("", called)) if owner else None
    if copied is not None:
        return f"; where it is a copy of {copied.model.id}, give that name"
    names = (known for identifier, entry in _entries().items() for known in (identifier, *entry["aliases"]))
    return did_you_mean(name, names)


@cache
def _entries() -> dict[str, _Entry]:
    return cast("dict[str, _Entry]", json.loads((DATA / "models.json").read_bytes()))


@cache
def _extra_aliases() -> list[dict[str, str]]:
    """Rows of alias, id and the reason for it: names that could stand for more than one model."""
    with (DATA / "model_aliases.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def _reasons_by_key() -> dict[str, str]:
    return {squash(row["alias"]): row["reason"] for row in _extra_aliases()}


@cache
def _ids_by_name() -> dict[str, str]:
    """Ids and aliases, without case only -> id. Serves most names without squashing all of them."""
    ids = {
        name.casefold(): identifier
        for identifier, entry in _entries().items()
        for name in (identifier, *entry["aliases"])
    }
    return ids | {row["alias"].casefold(): row["id"] for row in _extra_aliases()}


@cache
def _ids_by_key() -> dict[str, str]:
    """Squashed names -> id: ids and aliases, then repositories without their organisation."""
    ids = {squash(name): identifier for name, identifier in _ids_by_name().items()}
    for name, identifier in _ids_by_name().items():
        ids.setdefault(squash(name.rpartition("/")[2]), identifier)
    return ids


@cache
def _model(identifier: str) -> Model:
    entry = _entries()[identifier]
    dtype = entry["config"].get("torch_dtype")
    return Model(
        id=identifier,
        aliases=tuple(entry["aliases"]),
        config=entry["config"],
        parameters=entry["parameters"],
        parameters_basis=entry["parameters_basis"],
        dtype=dtype if isinstance(dtype, str) else None,
        built_as=entry["built_as"],
        gated=entry["gated"],
        license=entry["license"],
        source=entry["source"],
        confidence=entry["confidence"],
        note=entry["note"],
    )

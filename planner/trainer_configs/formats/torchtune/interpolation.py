"""OmegaConf's interpolations, where they name another value of the same file: `${batch}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from planner.trainer_configs.types import Json

_NAMED = re.compile(r"\$\{([A-Za-z0-9_][A-Za-z0-9_.]*)\}")
_ANY = re.compile(r"\$\{([A-Za-z0-9_]+)[.}]")
_DEEPEST = 8
"""Values that name another in turn."""


def referred_to(settings: Mapping[str, Json]) -> set[str]:
    """The settings at the top that others take a value from."""

    def names(value: Json) -> set[str]:
        if isinstance(value, str):
            return set(_ANY.findall(value))
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {name for part in parts for name in names(part)}

    return names(dict(settings))


def filled_in(settings: Mapping[str, Json]) -> dict[str, Json]:
    """The settings, each value that only names another scalar of theirs replaced by it.

    What is part of a longer text, or asks for something outside of the file (`${oc.env:HOME}`), stays a placeholder.
    """

    def filled(value: Json) -> Json:
        if isinstance(value, dict):
            return {name: filled(part) for name, part in value.items()}
        if isinstance(value, list):
            return [filled(part) for part in value]
        found = value
        for _ in range(_DEEPEST):
            named = _NAMED.fullmatch(found.strip()) if isinstance(found, str) else None
            if named is None:
                return found
            found = _at(settings, named[1])
            if isinstance(found, dict | list):
                return value
        return value

    return {name: filled(value) for name, value in settings.items()}


def _at(settings: Mapping[str, Json], path: str) -> Json:
    """The value at a path of names with dots between them; an empty mapping where there is none."""
    value: Json = dict(settings)
    for part in path.split("."):
        value = value[part] if isinstance(value, dict) and part in value else {}
    return value

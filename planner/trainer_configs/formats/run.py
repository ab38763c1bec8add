"""lora-plan's own run files."""

from __future__ import annotations

from typing import cast

from planner.run.rules import FIELD_ALIASES, RULES
from planner.trainer_configs.document import Document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.reader import Reader


def _signs(document: Document) -> tuple[str, ...]:
    known = {*RULES, *FIELD_ALIASES}
    return tuple(document.settings) if "model" in document.settings and document.settings.keys() <= known else ()


def _read(reader: Reader) -> None:
    for key, value in reader.document.settings.items():
        if value is not None:
            reader.becomes(key, **{FIELD_ALIASES.get(key, key): cast("object", value)})


FORMAT = ConfigFormat(name="run", title="a run file", version="lora-plan", signs=_signs, read=_read, includes=("trl",))

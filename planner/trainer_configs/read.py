"""`read_config`: the run in a trainer's config."""

from __future__ import annotations

from pathlib import Path

from planner.errors import InputError
from planner.names import did_you_mean
from planner.run.wording import shown
from planner.trainer_configs.document import OPTION, Document, read_document
from planner.trainer_configs.format import ConfigFormat
from planner.trainer_configs.formats import FORMATS, load_format
from planner.trainer_configs.reader import Reader
from planner.trainer_configs.types import TrainerConfig


def read_config(path: str | Path, format: str | None = None) -> TrainerConfig:
    """The run in a trainer's config. format: one of `FORMATS`; None: told by what the file holds.

    Raises `InputError` for a file that cannot be read, one that is no trainer's, and a setting whose value makes no
    sense where it is needed to read the others.
    """
    document = read_document(path)
    taken, notes = _told(document) if format is None else (_named(format), [])
    reader = Reader(document, taken)
    taken.read(reader)
    return reader.finish(notes)


def _named(name: str) -> ConfigFormat:
    word = name.strip().lower().replace("-", "").replace("_", "")
    if word not in FORMATS:
        raise InputError(
            f"--config-format must be one of {', '.join(FORMATS)}, not {shown(name)}{did_you_mean(name, FORMATS)}",
            field="config_format",
        )
    return load_format(word)


def _told(document: Document) -> tuple[ConfigFormat, list[str]]:
    """The first format that a document shows signs of; and a note where it could be another's."""
    matching = [(made, signs) for made in map(load_format, FORMATS) if (signs := made.signs(document))]
    if not matching:
        raise InputError(
            f"{document.name} has nothing by which a trainer's config is known; name it with --config-format "
            f"({', '.join(FORMATS)}), or check the file",
            field=OPTION,
        )
    (taken, signs), *rest = matching
    others = [(other, why) for other, why in rest if other.name not in taken.includes]
    notes = [
        f"{document.name} is read as {taken.title} ({_listed(signs)}), though it has settings of {other.title} too "
        f"({_listed(why)}); --config-format {other.name} reads it so"
        for other, why in others
    ]
    return taken, notes


def _listed(signs: tuple[str, ...]) -> str:
    more = "" if len(signs) <= 3 else f" and {len(signs) - 3} more"
    return ", ".join(signs[:3]) + more

"""Command lines that train with a config, and set some of it: `axolotl train config.yml --micro-batch-size 2`."""

from __future__ import annotations

from dataclasses import replace

from planner.errors import InputError
from planner.trainer_configs.document import OPTION, Document, find_file, printable, read_document
from planner.trainer_configs.reader import Reader, plain

_LAUNCHERS = ("launcher", "nproc_per_node", "num_processes")
"""Options of `axolotl train` that are not of the config: which launcher it takes, and what stands behind `--`."""


def is_launch(document: Document) -> bool:
    """Whether a command line runs Axolotl's training, with a config file among its words."""
    words = document.words
    runs = "axolotl.cli.train" in words or (words[:1] and words[0].rpartition("/")[2] == "axolotl" and "train" in words)
    return bool(runs) and _file(words) is not None


def with_its_file(reader: Reader) -> None:
    """Put the settings of the file that the command names in the reader's document, and the command's own over them.

    Raises `InputError` for a file that is not there, or cannot be read.
    """
    document = reader.document
    name = _file(document.words) or ""
    found = find_file(name, document.folder)
    if found is None:
        shown = printable(name)
        raise InputError(f"{document.name} trains with {shown}, which is not here; give that file", field=OPTION)
    # an option takes one value; what follows is `--`, and then the launcher's
    first = {key: value[0] if isinstance(value, list) else value for key, value in document.settings.items()}
    over = {key: plain(value) for key, value in first.items() if key not in _LAUNCHERS}
    launcher = {**document.launcher, **{key: first[key] for key in _LAUNCHERS if key in first}}
    settings = {**read_document(found).settings, **over}
    reader.document = replace(document, folder=found.parent, settings=settings, words=(), launcher=launcher)
    reader.note(f"{printable(found)} is read with it, which the command trains with")


def _file(words: tuple[str, ...]) -> str | None:
    return next((word for word in words if word.endswith((".yml", ".yaml"))), None)

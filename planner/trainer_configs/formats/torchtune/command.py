"""`tune run`: a recipe, its config, and the settings that are typed over it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

from planner.errors import InputError
from planner.run import yaml_text
from planner.run.wording import shown
from planner.trainer_configs.document import OPTION, Document, find_file, read_document
from planner.trainer_configs.types import Json

_TORCHRUN = (
    *("nproc_per_node", "nnodes", "node_rank", "max_restarts", "rdzv_backend", "rdzv_endpoint", "rdzv_id"),
    *("standalone", "master_addr", "master_port"),
)
"""Options before the recipe (torchtune/_cli/run.py hands them to torchrun)."""


def is_command(document: Document) -> bool:
    """Whether the document is a command line that runs a recipe."""
    return len(document.words) > 1 and document.words[0].rpartition("/")[2] == "tune" and document.words[1] == "run"


def read_command(document: Document) -> tuple[Document, str, Path]:
    """The config that `tune run` names, with what is typed over it and torchrun's options; the recipe; and the file.

    torchtune/config/_utils.py: `_merge_yaml_and_cli_args`. Raises `InputError` where no file is named that is here.
    """
    launcher = dict(document.launcher)
    words = [*document.words[2:]]
    typed: dict[str, Json] = {}
    config: str | None = None
    for name, value in document.settings.items():
        if name != "config" and name not in _TORCHRUN:
            typed[name] = value
            continue
        # an option takes one value; what follows it is the recipe, or `key=value`
        first, *rest = value if isinstance(value, list) else [value]
        words += [str(word) for word in rest]
        if name == "config":
            config = str(first)
        else:
            launcher[name] = first
    recipe = next((word for word in words if "=" not in word and not word.startswith("~")), "")
    path = _found(document, config)
    settings = dict(read_document(path).settings)
    pairs = [*typed.items(), *_pairs(words)]
    for word in words:
        if word.startswith("~"):
            _remove(settings, word[1:].partition("=")[0].split("."))
    for key, value in pairs:
        _put(settings, key, _parsed(value))
    return replace(document, settings=settings, words=(), launcher=launcher), recipe, path


def _found(document: Document, config: str | None) -> Path:
    if config is None:
        raise InputError(f"{document.name}: tune run has no --config; name the config's file", field=OPTION)
    path = find_file(config, document.folder)
    if path is None:
        raise InputError(
            f"{document.name}: --config {shown(config)} is no file that is here; if it is one of torchtune's own, "
            "write it to a file with `tune cp`, and give that",
            field=OPTION,
        )
    return path


def _pairs(words: Iterable[str]) -> list[tuple[str, Json]]:
    split = (word.partition("=") for word in words if not word.startswith("~"))
    return [(key, value) for key, sign, value in split if sign]


def _parsed(value: Json) -> Json:
    """Text as YAML reads it, as OmegaConf does; "None" is null."""
    if not isinstance(value, str) or value == "None":
        return None if value == "None" else value
    try:
        return cast("Json", yaml_text.loads(value, lenient=True))
    except yaml_text.YamlProblem:
        return value


def _put(settings: dict[str, Json], key: str, value: Json) -> None:
    """Set a value below names with dots between them; a component's own name is that of its mapping."""
    *above, last = key.split(".")
    within = settings
    for name in above:
        inner = within.get(name)
        copied: dict[str, Json] = dict(inner) if isinstance(inner, dict) else {}
        within[name] = copied
        within = copied
    held = within.get(last)
    if not above and isinstance(held, dict) and "_component_" in held:
        within[last] = {**held, "_component_": value}
    else:
        within[last] = value


def _remove(settings: dict[str, Json], path: list[str]) -> None:
    *above, last = path
    within: Json = settings
    for name in above:
        within = within.get(name) if isinstance(within, dict) else None
    if isinstance(within, dict):
        within.pop(last, None)

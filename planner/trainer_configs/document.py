"""A config file's content, whatever it is written in: YAML, JSON, or the command line of a script."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from planner.catalogue.files import parse_mapping, read_bytes
from planner.errors import InputError
from planner.run.wording import kind_of
from planner.trainer_configs.command_line import Command, find_command
from planner.trainer_configs.types import Json
from planner.units import MIB

LARGEST = MIB
"""Bytes that a trainer's config may have."""

OPTION = "config"
"""The option at fault, in errors."""

_PROGRAM = "is a program, which is not run; give the command line that starts it (a .sh file), or its settings as YAML"
_NO_CONFIGS = {
    ".toml": "is TOML, which none of the trainers has; give a run file with --run",
    ".py": _PROGRAM,
    ".ipynb": _PROGRAM,
}
"""Suffix of what people may give in place of a config -> what to give."""


@dataclass(frozen=True, slots=True)
class Document:
    """The settings of one file."""

    name: str
    """Of the file, as it was given, printable."""

    folder: Path
    """That it lies in."""

    settings: Mapping[str, Json]
    """The mapping at its top; of a command line, the options of the program, with `_` for `-` in their names."""

    words: tuple[str, ...] = ()
    """Of a command line, what is run: `("accelerate", "launch", "train.py")`. Empty for a file of settings."""

    launcher: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """Of a command line, the options of what launches the program: those of `accelerate launch` or `torchrun`."""


def read_document(path: str | Path) -> Document:
    """The settings in a file; nothing in it is run, imported or included.

    A file is JSON where it begins with `{`, a script where a line of it runs a program with options, and otherwise
    YAML, whatever it is called. Raises `InputError` for what cannot be read and for what holds no settings.
    """
    path = Path(path).expanduser()
    name = printable(path)
    if path.suffix.lower() in _NO_CONFIGS:
        raise InputError(f"{name} {_NO_CONFIGS[path.suffix.lower()]}", field=OPTION)
    data = read_bytes(path, field=OPTION, largest=LARGEST)
    text = _text(data, name)
    if not text.strip():
        raise InputError(f"{name} is empty; give the config of a run", field=OPTION)
    if text.lstrip().startswith("{"):
        settings = cast("dict[str, Json]", parse_mapping(data, name, field=OPTION))
        return Document(name, path.parent, settings)
    command = find_command(text, name)
    if command is not None:
        return _of_command(command, name, path.parent)
    return Document(name, path.parent, _yaml(text, name))


def find_file(name: str, folder: Path) -> Path | None:
    """The file that a config or a command names: from the working directory, as trainers have it, or in `folder`."""
    # os.path answers False for a name that is too long; pathlib raises
    return next((path for path in (Path(name), folder / name) if os.path.isfile(path)), None)  # noqa: PTH113


def _of_command(command: Command, name: str, folder: Path) -> Document:
    return Document(name, folder, command.options, command.words, command.launcher)


def _text(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}, line {line}: not UTF-8 text; save the file as UTF-8", field=OPTION) from None
    if "\0" in text:
        raise InputError(f"{name} holds NUL bytes, so it is not UTF-8 text; save the file as UTF-8", field=OPTION)
    return text


def _yaml(text: str, name: str) -> dict[str, Json]:
    from planner.run import yaml_text

    try:
        data = yaml_text.loads(text, lenient=True)
    except RecursionError:
        raise InputError(f"{name} nests too deeply; give the config of a trainer", field=OPTION) from None
    except yaml_text.YamlProblem as error:
        where = f"{name}, line {error.line}" if error.line else name
        problem = " ".join(str(error).split())
        raise InputError(f"{where}: cannot be read: {problem}; correct the file", field=OPTION) from None
    if data is None:
        raise InputError(f"{name} holds no settings; give the config of a run", field=OPTION)
    if not isinstance(data, dict):
        raise InputError(
            f"{name} must hold a mapping of settings, or a command line, not {kind_of(data)}; give the config of a run",
            field=OPTION,
        )
    return cast("dict[str, Json]", data)


def printable(path: str | Path) -> str:
    """A path as messages show it."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)

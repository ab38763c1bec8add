"""Run files: YAML, TOML and JSON, told apart by the end of the file's name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, cast

from planner.errors import InputError
from planner.run.rules import canonical_fields
from planner.run.training_run import TrainingRun
from planner.run.wording import either, kind_of, shown

MAX_FILE_BYTES = 2**20


def read_run(path: str | Path) -> TrainingRun:
    """The run written in a file. Raises `InputError` naming the file, and the line or field at fault."""
    fields = read_fields(path)
    try:
        return TrainingRun(**fields)
    except InputError as error:
        raise InputError(f"{_name(path)}: {error}", field=error.field) from None


def read_fields(path: str | Path) -> dict[str, object]:
    """The fields a file gives, under `TrainingRun`'s names, so that others can be laid over them.

    Values are read as they stand and are checked when the run is made. Raises `InputError`.
    """
    data = read_mapping(path)
    try:
        return canonical_fields(data)
    except InputError as error:
        raise InputError(f"{_name(path)}: {error}", field=error.field) from None


def read_mapping(path: str | Path) -> dict[str, object]:
    """The mapping at the top of a `.yaml`, `.yml`, `.toml` or `.json` file of at most 1 MiB.

    Nothing in the file is executed or imported, and no key is given twice. Raises `InputError` for
    everything that can be wrong with a file.
    """
    loads = _FORMATS[_extension(path)][0]
    text = _read_text(path)
    try:
        data = loads(text)
    except RecursionError:
        raise InputError(f"{_name(path)} nests too deeply; write one flat mapping of fields") from None
    except ValueError as error:
        line = cast("int | None", getattr(error, "line", None) or getattr(error, "lineno", None))
        where = f"{_name(path)}, line {line}" if line else _name(path)
        problem = " ".join(str(getattr(error, "msg", error)).split())
        raise InputError(f"{where}: cannot be read: {problem}; correct the file") from None
    if data is None:
        raise InputError(f"{_name(path)} is empty; write one field a line, such as `model: llama-3.1-8b`")
    if not isinstance(data, dict):
        raise InputError(f"{_name(path)} must hold a mapping of fields to values, not {kind_of(data)}")
    return cast("dict[str, object]", data)


def write_run(run: TrainingRun, path: str | Path) -> None:
    """Write a run so that `read_run` gives it back. Raises `InputError` when the file cannot be written."""
    text = dumps(run, _extension(path))
    try:
        Path(path).write_text(text, encoding="utf-8", newline="\n")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {_name(path)}: {_reason(error)}; choose another file") from None


def dumps(run: TrainingRun, extension: str) -> str:
    """A run as `yaml`, `yml`, `toml` or `json` text, without the fields that do not apply to it."""
    if extension not in _FORMATS:
        raise InputError(f"a run cannot be written as {shown(extension)}; choose {either(_FORMATS)}")
    fields = {name: value for name, value in run.to_dict().items() if value is not None}
    return _FORMATS[extension][1](fields)


def _load_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant) if text.strip() else None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"{shown(key)} is given twice")
        result[key] = value
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _dump_json(fields: dict[str, object]) -> str:
    return json.dumps(fields, indent=2) + "\n"


def _load_toml(text: str) -> object:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text.replace("\r\n", "\n")) or None


def _dump_toml(fields: dict[str, object]) -> str:
    # Text without control characters, finite numbers, booleans and flat lists are the same in TOML and JSON.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in fields.items())


def _load_yaml(text: str) -> object:
    from planner.run import yaml_text

    return yaml_text.loads(text)


def _dump_yaml(fields: dict[str, object]) -> str:
    from planner.run import yaml_text

    return yaml_text.dumps(fields)


_FORMATS: dict[str, tuple[Callable[[str], object], Callable[[dict[str, object]], str]]] = {
    "yaml": (_load_yaml, _dump_yaml),
    "yml": (_load_yaml, _dump_yaml),
    "toml": (_load_toml, _dump_toml),
    "json": (_load_json, _dump_json),
}


def _extension(path: str | Path) -> str:
    extension = Path(path).suffix.lower().removeprefix(".")
    if extension not in _FORMATS:
        raise InputError(f"{_name(path)}: the name of a run file must end in .yaml, .yml, .toml or .json")
    return extension


def _read_text(path: str | Path) -> str:
    name = _name(path)
    try:
        # A pipe or a device would block or never end.
        if Path(path).exists() and not Path(path).is_file():
            what = "a folder" if Path(path).is_dir() else "not a regular file"
            raise InputError(f"{name} is {what}; give the path of a run file")
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {name}: {_reason(error)}; check the path") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{name} is larger than 1 MiB; that is no run file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    if "\0" in text:
        raise InputError(f"{name} holds NUL bytes, so it is not UTF-8 text; save the file as UTF-8")
    return text


def _reason(error: OSError | ValueError) -> str:
    strerror = error.strerror if isinstance(error, OSError) else None
    return (strerror or str(error)).lower()


def _name(path: str | Path) -> str:
    text = str(path)
    return text if text.isprintable() else ascii(text)

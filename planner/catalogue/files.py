"""Reading small files that may be anything: of the wrong kind, huge, binary, or hostile."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NoReturn, cast

from planner.catalogue.spelling import shown, shown_path
from planner.errors import InputError
from planner.units import MIB

LARGEST_FILE = 4 * MIB
"""Bytes that a config file may have; those of the Hugging Face hub have up to some 100 KB."""

DEEPEST = 64
"""Levels of lists and mappings that a file may nest."""


def read_bytes(path: Path, *, field: str, largest: int = LARGEST_FILE) -> bytes:
    """The content of a regular file of at most `largest` bytes; `InputError` otherwise, about `field`.

    Pipes and devices are refused before they are opened, so that reading never waits.
    """
    name = shown_path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name} is a folder; give the path of a file", field=field)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name} is not a regular file; give the path of one", field=field)
        if status.st_size > largest:
            raise InputError(_too_large(name, largest), field=field)
        # O_NONBLOCK: should the file have become a pipe since, opening it still does not wait
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            data = file.read(largest + 1)
    except InputError:  # a ValueError itself
        raise
    except FileNotFoundError:
        if path.is_symlink():
            raise InputError(f"{name} links to a file that does not exist; mend it", field=field) from None
        raise InputError(f"{name} does not exist; check the path", field=field) from None
    except PermissionError:
        raise InputError(f"{name} may not be read; check its permissions", field=field) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise InputError(f"{name} cannot be read ({reason.lower()}); check the path", field=field) from None
    if len(data) > largest:
        raise InputError(_too_large(name, largest), field=field)
    return data


def parse_mapping(data: bytes, origin: str, *, field: str) -> dict[str, object]:
    """The JSON object in `data`, strictly: UTF-8 (with or without a byte order mark), no key twice, no NaN.

    `origin` names the file in errors; `field` is the option at fault.
    """

    def fail(what: str) -> NoReturn:
        raise InputError(f"{origin} {what}", field=field)

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        mapping = dict(items)
        if len(mapping) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    fail(f"has the key '{shown(key)}' twice; remove one")
                seen.add(key)
        return mapping

    def constant(name: str) -> NoReturn:
        fail(f"holds {name}, which is not JSON; write a finite number")

    if not data.strip():
        fail("is empty; it should hold a JSON object")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        fail("is not text in UTF-8; give a JSON file")
    try:
        value: object = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        fail(f"is not JSON ({where}); check that it is complete")
    except RecursionError:
        fail(f"nests more than {DEEPEST} levels; give a plain config")
    except InputError:
        raise
    except ValueError:
        fail("holds a number of too many digits; write a smaller one")
    if not isinstance(value, dict):
        fail("does not hold a JSON object at its top level; give a file that starts with '{'")
    if _depth_exceeds(cast("object", value), DEEPEST):
        fail(f"nests more than {DEEPEST} levels; give a plain config")
    return cast("dict[str, object]", value)


def _depth_exceeds(value: object, limit: int) -> bool:
    """Whether lists and mappings nest deeper than `limit`, found level by level, without recursion."""
    level = [value]
    for _ in range(limit + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast("dict[str, object]", item).values())
            elif isinstance(item, list):
                below.extend(cast("list[object]", item))
        level = below
    return bool(level)


def _too_large(name: str, largest: int) -> str:
    return f"{name} has more than {largest // MIB} MiB, which no config has; check the path"

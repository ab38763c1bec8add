"""Where the user's own records and price sheets are. Here, so that a plan can see cheaply that there are no records."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from planner.errors import InputError


def stored_file() -> Path | None:
    """The user's records, where there are any yet."""
    with suppress(InputError, OSError, ValueError):
        path = records_file()
        return path if path.is_file() else None
    return None


def records_file(environment: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """The file that LORA_PLAN_RECORDS names, or else one in the platform's folder for data of programs.

    It need not exist. Raises `InputError` where neither is known.
    """
    return data_place("records.sqlite", "records", "a file", environment, platform)


def data_place(
    name: str, what: str, kind: str, environment: Mapping[str, str] = os.environ, platform: str = sys.platform
) -> Path:
    """What LORA_PLAN_<WHAT> names, or else `name` in the platform's folder for data of programs.

    kind: what the variable has to be set to, as the error says it. Raises `InputError` where neither is known.
    """
    variable = f"LORA_PLAN_{what.upper()}"
    if given := environment.get(variable):
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        raise InputError(
            f"there is no home directory to keep {what} in; set {variable} to {kind}", field=what
        ) from None
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        data = Path(environment.get("XDG_DATA_HOME") or "")
        # the XDG Base Directory Specification has relative paths ignored
        base = data if data.is_absolute() else home / ".local" / "share"
    return base / "lora-plan" / name

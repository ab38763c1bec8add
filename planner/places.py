"""Where the user's records are: here and not beside them, so that a plan can see that there are none."""

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
    if given := environment.get("LORA_PLAN_RECORDS"):
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:
        raise InputError(
            "there is no home directory to keep records in; set LORA_PLAN_RECORDS to a file", field="records"
        ) from None
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        data = Path(environment.get("XDG_DATA_HOME") or "")
        # the XDG Base Directory Specification has relative paths ignored
        base = data if data.is_absolute() else home / ".local" / "share"
    return base / "lora-plan" / "records.sqlite"
